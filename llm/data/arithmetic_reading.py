"""The problem that a question of the arithmetic generator asks, read from its text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from llm.data.arithmetic_problem import LARGEST_NUMBER, Event, Problem, fits
from llm.data.arithmetic_wording import CLOSINGS, EVENTS, NAMES, OPENINGS, THEMES, Theme

WHO = dict(NAMES)
THEME_OF = {things: theme for theme in THEMES for things in theme.things}


def read_problem(question: str) -> Problem | None:
    """None for another text. Its largest number is the default one, or where totals are larger what they need."""
    opening, *others = re.split(r"(?<=\.) ", question)
    for words in _read(opening, OPENINGS):
        name, things, start = words["name"], words["things"], words["total"]
        ends = [pattern.format(name=name, things=things) for pattern in CLOSINGS]
        if name in WHO and things in THEME_OF and start.isdecimal() and others[1:] and others[-1] in ends:
            found = [_event(sentence, THEME_OF[things], WHO[name]) for sentence in others[:-1]]
            return _problem(question, WHO[name], things, int(start), found)
    return None


def _problem(question: str, who: str, things: str, start: int, found: list[Event | None]) -> Problem | None:
    events = tuple(event for event in found if event)
    for largest in (LARGEST_NUMBER, start + sum(event.amount for event in events)):
        if len(events) == len(found) and fits(start, events, largest):
            return Problem(question, who, things, start, events, largest)
    return None


def _event(sentence: str, theme: Theme, who: str) -> Event | None:
    signs = {place: "+" for place in theme.gains} | {place: "-" for place in theme.losses}
    for words in _read(_uncapitalised(sentence), map(_uncapitalised, EVENTS)):
        for place, sign in signs.items():
            is_here = (place.where, place.verb, who) == (words["where"], words["verb"], words["who"])
            if is_here and words["amount"].isdecimal():
                return Event(place, sign, int(words["amount"]))
    return None


def _read(sentence: str, patterns: Iterable[str]) -> Iterator[dict[str, str]]:
    """The words of a sentence, by each pattern that it has. Only `where` may be several words."""
    for pattern in patterns:
        fields = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\S+)", re.escape(pattern))
        if found := re.fullmatch(fields.replace(r"<where>\S+", "<where>.+"), sentence):
            yield found.groupdict()


def _uncapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]
