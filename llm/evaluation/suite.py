"""What the suites have in common: an item is what one row of the data asks of a model. No paddle here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm.core.console import problem_list
from llm.core.records.json_stream import no_progress
from llm.core.records.problem import Problem, excerpt
from llm.core.records.reward_records import Record
from llm.data.reading.rows import ROW_SUFFIXES, read_rows
from llm.scoring.scores import Scores
from llm.scoring.solutions import solutions_of

Progress = Callable[[int], object]
Row = tuple[str, dict]  # where it was read, and its fields


@dataclass(frozen=True)
class Item:
    """Solutions to score, and what is known about them, in the words of the suite. `subset` is the file's name, or what
    the data calls its parts."""

    place: str
    solutions: tuple[Record, ...]
    truth: Any
    subset: str = ""
    known: dict[str, Any] = field(default_factory=dict)  # more that the data says, for the audits


Labels = Callable[[Item], Sequence[float | None]]  # of each step of an item's first solution
Judged = tuple[Item, list[Scores]]  # an item, and the scores of its solutions


@dataclass(frozen=True)
class Table:
    """Rows for people: the first column is a name, the others are figures."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True)
class Outcome:
    """`metrics` go to results.json; `tables` are shown."""

    metrics: dict[str, Any]
    tables: list[Table]


@dataclass(frozen=True)
class Suite:
    name: str
    fields: str  # of a row of the data
    needs_steps: bool | None  # a model that scores every step; None: either kind
    read: Callable[[Sequence[Path], Progress], list[Item]]
    evaluate: Callable[[list[Judged], float], Outcome]
    headline: Callable[[dict[str, Any]], dict[str, float | None]]  # of metrics, what a table of several models shows
    has_threshold: bool = True
    labels: Labels | None = None  # where the data says which steps are right
    suffixes: tuple[str, ...] = ROW_SUFFIXES  # of the files of a folder that are read


class BadData(ValueError):
    """Rows that the suite cannot use; the text names all of them, or the first ones."""


def read_items(files: Sequence[Path], item_of: Callable[[str, dict, str], Item], progress: Progress) -> list[Item]:
    """Every row as an item; BadData with all rows that are not what the suite reads. The subset that is passed on is
    the file's name where there are several files."""
    items, problems = [], []
    for file in files:
        subset = file.name.split(".")[0] if len(files) > 1 else ""
        for place, value in rows_of(file, progress):
            if isinstance(value, Problem):
                problems.append(str(value))
                continue
            try:
                items.append(item_of(place, value, subset))
            except ValueError as error:
                problems.append(str(error))
    if problems:
        raise BadData(problem_list(problems))
    if not items:
        raise BadData(f"{', '.join(map(str, files))}: no rows. Give data to evaluate on.")
    return items


def rows_of(file: Path, progress: Progress = no_progress) -> Iterator[tuple[str, dict | Problem]]:
    for place, value, _ in read_rows(file, progress=progress):
        if isinstance(value, dict | Problem):
            yield place, value
        else:
            yield place, Problem(place, excerpt(value), "not an object", "a row is a JSON object", "write {...}")


def wanted(place: str, row: dict, **kinds: type | tuple[type, ...]) -> list[Any]:
    """These fields of the row, of these types; ValueError that names all that are missing or of another type."""
    found, problems = [], []
    for name, kind in kinds.items():
        allowed = kind if isinstance(kind, tuple) else (kind,)
        value = _from_table(row.get(name), allowed)
        if name not in row:
            problems.append(f"{place}: no {name}. The row has {', '.join(map(str, row)) or 'no fields'}.")
        elif not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            problems.append(f"{place}: {name} is {excerpt(row[name])}, which is not {_kind_name(allowed)}.")
        found.append(value)
    if problems:
        raise ValueError("\n".join(problems))
    return found


def _from_table(value: Any, allowed: tuple[type, ...]) -> Any:
    """All values of csv files are texts, and whole numbers of a Parquet column with gaps are floating point."""
    if isinstance(value, str) and str not in allowed:
        try:
            return json.loads(value.lower() if bool in allowed else value)
        except (ValueError, RecursionError):
            return value
    return int(value) if isinstance(value, float) and int in allowed and value.is_integer() else value


KIND_NAMES = {str: "a text", list: "a list", int: "a whole number", bool: "true or false", dict: "an object"}


def _kind_name(allowed: tuple[type, ...]) -> str:
    return " or ".join(KIND_NAMES.get(one, one.__name__) for one in allowed)


def solution(place: str, question: str, steps: Iterable[str]) -> Record:
    """ValueError where it cannot be scored."""
    (found,) = solutions_of({"question": question, "steps": list(steps)}, place)
    return found


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
