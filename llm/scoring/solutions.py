"""What can be scored: a record of training data, with or without labels, or a plain object with a question and its
steps. No paddle here."""

from __future__ import annotations

import re
from collections.abc import Callable

from llm.core.console import listed
from llm.core.records.fields import (
    Bad,
    answers_of,
    check_characters,
    collector,
    dialogue_of,
    is_object,
    steps_of,
)
from llm.core.records.reward_records import Record

QUESTION, TEXTS = "question", ("solution", "response", "answer")
FORMS = (
    "question and steps (a list); question and one text, as solution, response or answer; or the fields of a record: "
    "src and responses, or src and response (two answers)"
)
# What a text is split at, by the name that --split_steps takes. A step keeps what it begins with.
SPLITS: dict[str, Callable[[str], list[str]]] = {
    "blank_line": lambda text: re.split(r"\n[ \t\r]*\n", text),
    "line": lambda text: re.split(
        r"[\r\n]", text
    ),  # str.splitlines would cut at a form feed, what is left of \\frac, too
    "step_k": lambda text: re.split(r"(?mi)^(?=[ \t*#]*step[ \t]+\d+[ \t]*[:.：])", text),  # noqa: RUF001
}


def solutions_of(value: object, place: str, split: str | None = None) -> list[Record]:
    """One solution, or both answers of a preference record; ValueError with all that is wrong with it. `split` says how
    one text becomes steps; without it the text is one step."""
    found, bad = collector(place)
    solutions = _read(value, place, split, bad) if is_object(value, FORMS, bad) else []
    if found:
        raise ValueError("\n".join(map(str, found)))
    return solutions


def _read(value: dict, place: str, split: str | None, bad: Bad) -> list[Record]:
    texts = [name for name in TEXTS if isinstance(value.get(name), str)]
    forms = {"steps": "steps" in value, "responses": "responses" in value, "response": _is_list(value, "response")}
    if "answer" in texts and (any(forms.values()) or len(texts) > 1):
        texts.remove("answer")  # next to a solution it is the final answer
    given = [name for name, is_given in forms.items() if is_given] + texts
    if len(given) != 1:
        detail = f"it has {listed(given)}" if given else "it has no solution"
        bad(list(value), "no solution" if not given else "more than one solution", detail, f"give {FORMS}")
        return []
    dialogue = value if QUESTION not in value else {"src": value[QUESTION], "tgt": value.get("tgt")}
    if QUESTION in value and "src" in value:
        bad(list(value), "two questions", "it has question and src", "leave one of them out")
    elif QUESTION not in value and "src" not in value:
        bad(list(value), "no question", "it has neither question nor src", f"give {FORMS}")
    src, tgt = dialogue_of(dialogue, _renaming(bad, "src", QUESTION) if QUESTION in value else bad)
    (name,) = given
    solutions: list[tuple[str, ...]]
    if forms["response"]:
        solutions = [(answer,) for answer in answers_of(value, bad)]
    elif texts:
        solutions = [_split(value[name], split)]
        if not solutions[0]:
            bad(value[name], "blank solution", f"{name} has no text", "give at least one step")
    else:
        solutions = [steps_of({"responses": value[name]}, _renaming(bad, "responses", name))]
    check_characters((*src, *tgt, *(step for steps in solutions for step in steps)), bad)
    return [Record(src, tgt, steps, (0.0,) * len(steps), place) for steps in solutions]


def _split(text: str, split: str | None) -> tuple[str, ...]:
    parts = SPLITS[split](text) if split else [text]
    return tuple(part.strip() for part in parts if part.strip())


def _is_list(value: dict, name: str) -> bool:
    return name in value and not isinstance(value[name], str)


def _renaming(bad: Bad, field: str, name: str) -> Bad:
    """For a field under another name than in training data, and for steps that need no labels."""

    def renamed(shown: object, reason: str, detail: str, remedy: str) -> None:
        remedy = remedy.removesuffix(" together with its label").removesuffix(" and its label")
        bad(shown, reason.replace(field, name), detail.replace(field, name), remedy.replace(field, name))

    return renamed
