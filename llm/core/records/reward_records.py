"""Reward data: rows on disk -> validated records, of one of two forms.

Labelled records have `src` (what the user says: a string, or a list of turns), `tgt` (what the model answered before,
one turn fewer than `src`; may be missing, null, "" or empty when there is one turn), `responses` (the steps) and
`labels` (one per step). Preferences have `src`, `tgt`, `response` (two answers) and `sort` (two numbers, the larger
one for the better answer). Both may have a `weight`, preferences a `margin`. Other keys are ignored. Steps and
answers lose the white space around them and are never split. `src` may be blank, with the question inside the first
step; in a dialogue no turn may be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeGuard, TypeVar

from llm.core.records.fields import (
    Bad,
    answers_of,
    check_characters,
    chosen_of,
    collector,
    dialogue_of,
    is_object,
    label_values,
    labels_of,
    number_of,
    steps_of,
)
from llm.core.records.problem import Problem, excerpt

LEAST_WEIGHT = 1e-6  # of a record; 0 would be a record that is computed for nothing
LABELLED, PREFERENCES = "labelled record", "preference record"
BOTH_FORMS, MISSING_KEY = "record of both forms", "missing key"
OF_OTHER_FORM = (BOTH_FORMS, LABELLED, PREFERENCES)  # reasons that are never skipped: data is of one form
FIELDS = {
    LABELLED: "src, tgt, responses (list of steps) and labels (one per step)",
    PREFERENCES: "src, tgt, response (two answers) and sort (two numbers)",
}
REQUIRED = {LABELLED: ("src", "responses", "labels"), PREFERENCES: ("src", "response", "sort")}


@dataclass(frozen=True, slots=True)
class Record:
    """One solution: the dialogue, the steps, a label per step (1.0 right, 0.0 wrong, None: not scored), what it counts,
    where it was read."""

    src: tuple[str, ...]
    tgt: tuple[str, ...]
    steps: tuple[str, ...]
    labels: tuple[float | None, ...]
    place: str
    weight: float = 1.0

    def __reduce__(self) -> tuple:
        """Between processes: several times as fast as what dataclasses do."""
        return Record, (self.src, self.tgt, self.steps, self.labels, self.place, self.weight)


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one dialogue, the margin by which the chosen one should win (None: not said), what it counts."""

    src: tuple[str, ...]
    tgt: tuple[str, ...]
    chosen: str
    rejected: str
    margin: float | None
    place: str
    weight: float = 1.0


Parsed = TypeVar("Parsed", Record, Preference)
Parse = Callable[[object, str], Record | Preference | list[Problem]]


def parser_of(form: str, reward_tokens: Sequence[str] = ("+", "-")) -> Parse:
    """What makes a record of that form of a value that was read and its place, or says all that is wrong with it."""
    parse = parse_preference if form == PREFERENCES else partial(parse_record, values=label_values(reward_tokens))
    of_other_form = frozenset(REQUIRED[LABELLED if form == PREFERENCES else PREFERENCES]) - {"src"}

    def parse_value(value: object, place: str) -> Record | Preference | list[Problem]:
        if isinstance(value, dict) and of_other_form.isdisjoint(value):  # almost every record, so it comes first
            return parse(value, place)
        if isinstance(value, Problem):
            return [value]
        if is_of_both(value):
            return [of_both(place, value)]
        if isinstance(value, dict) and (forms := forms_of(value)) and form not in forms:
            return [_other_form(place, value, form)]
        return parse(value, place)

    return parse_value


def forms_of(value: object) -> list[str]:
    """The forms of which a record has all fields, or else some."""
    if not isinstance(value, dict):
        return []
    own = {form: [key in value for key in keys[1:]] for form, keys in REQUIRED.items()}
    return [form for form in own if all(own[form])] or [form for form in own if any(own[form])]


def is_of_both(value: object) -> TypeGuard[dict]:
    return isinstance(value, dict) and all(key in value for keys in REQUIRED.values() for key in keys)


def of_both(place: str, value: dict) -> Problem:
    both = f"it has the fields of a {LABELLED} ({FIELDS[LABELLED]}) and of a {PREFERENCES} ({FIELDS[PREFERENCES]})"
    return Problem(place, excerpt(list(value)), BOTH_FORMS, both, "leave out the fields of one of them")


def _other_form(place: str, value: dict, form: str) -> Problem:
    other = PREFERENCES if form == LABELLED else LABELLED
    detail = f"it has {FIELDS[other]}, the data is read as {form}s with {FIELDS[form]}"
    return Problem(place, excerpt(list(value)), other, detail, "give data of one form only")


def parse_record(value: object, place: str, values: Mapping[object, float | None]) -> Record | list[Problem]:
    """The labelled record that a JSON value is, or all that is wrong with it. `values` is from `label_values`."""
    return _parse(LABELLED, value, place, partial(_labelled, values=values))


def parse_preference(value: object, place: str) -> Preference | list[Problem]:
    """The preference that a JSON value is, or all that is wrong with it."""
    return _parse(PREFERENCES, value, place, _preference)


def _parse(form: str, value: object, place: str, build: Callable[[dict, str, Bad], Parsed]) -> Parsed | list[Problem]:
    found, bad = collector(place)
    if not is_object(value, FIELDS[form], bad):
        return found

    if missing := [key for key in REQUIRED[form] if key not in value]:
        bad(list(value), MISSING_KEY, f"no {', '.join(missing)}", f"a record has {FIELDS[form]}")
    record = build(value, place, bad)
    return found or record


def _labelled(value: dict, place: str, bad: Bad, values: Mapping[object, float | None]) -> Record:
    src, tgt = dialogue_of(value, bad)
    steps = steps_of(value, bad)
    labels = labels_of(value, values, bad)
    if steps and labels and len(steps) != len(labels):
        detail = f"responses: {len(steps)}, labels: {len(labels)}"
        bad(value["labels"], "labels and responses differ in length", detail, "give each step one label")
    weight = number_of(value, "weight", 1.0, LEAST_WEIGHT, bad)
    check_characters(src + tgt + steps, bad)
    return Record(src, tgt, steps, labels, place, weight)


def _preference(value: dict, place: str, bad: Bad) -> Preference:
    src, tgt = dialogue_of(value, bad)
    answers = answers_of(value, bad) or ("", "")
    chosen = chosen_of(value, bad)
    margin = number_of(value, "margin", None, 0, bad)
    weight = number_of(value, "weight", 1.0, LEAST_WEIGHT, bad)
    check_characters(src + tgt + answers, bad)
    return Preference(src, tgt, answers[chosen], answers[1 - chosen], margin, place, weight)
