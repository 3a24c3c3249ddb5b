"""What a format is, and what converting a row gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

RIGHT, WRONG = "+", "-"


class Unfit(ValueError):
    """A row that cannot mean what its format says: (value, reason, detail, remedy)."""


class Unusable(Exception):
    """A good row that gives no record: (reason, value)."""


@dataclass(frozen=True, slots=True)
class Note:
    """What was left out of a row or changed in it: counted by `what`, shown once with its place and value."""

    what: str
    number: int = 1
    value: object = None


@dataclass(frozen=True)
class Options:
    """How a format is to be read, where there is a choice; None is what the format does by itself."""

    neutral: str | None = None
    threshold: float | None = None
    placeholder: str | None = None
    step_separator: str | None = None
    tokenizer: str | None = None
    margins: bool | None = None
    repeat_labels: bool | None = None

    def given(self) -> list[str]:
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]


Row = dict
Made = dict | Note


@dataclass(frozen=True)
class Format:
    """A form of data sets.

    `fields` are those that every row has; a row that lacks one is bad. `others` are read where they are there; of a
    Parquet file nothing else is. `fits` tells whether a row is of this format and of no other. `convert` gives the
    records of a row; where `grouped_by` names a field, the row is {"rows": ...} with all consecutive rows that have the
    same value there. `obeys` names the options that mean something here. `write` is the way back: a checked record as
    rows of this format.
    """

    name: str
    meaning: str
    fields: tuple[str, ...]
    fits: Callable[[Row], bool]
    convert: Callable[[Row, Options], Iterable[Made]]
    others: tuple[str, ...] = ()
    obeys: tuple[str, ...] = ()
    grouped_by: str = ""
    write: Callable[[dict, Options], Iterable[Made]] | None = None


def labelled(question: str, steps: Sequence[str], labels: Sequence[str | float | None]) -> dict:
    return {"src": [question], "tgt": [], "responses": list(steps), "labels": list(labels)}


def has(*names: str) -> Callable[[Row], bool]:
    """A rule by which a row fits: all of these fields are there."""
    return lambda row: all(name in row for name in names)
