"""Rows of other data sets -> this project's records: for each format what a row must have, and one small function.

The function gives the record, or in words why a good row gives none; these are counted. A row that contradicts its
own format is Unfit. Nothing is checked here that llm.core.records.records checks of every record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType

RIGHT, WRONG = "+", "-"


class Unfit(ValueError):
    """A row that cannot mean what its format says: (value, reason, detail, remedy)."""


@dataclass(frozen=True)
class Mended:
    """A record from which something was left out, which is counted."""

    record: dict
    what: str
    number: int


@dataclass(frozen=True)
class Format:
    meaning: str
    fields: dict[str, tuple[type, ...]]  # what a row must have, and the types of it that are accepted
    convert: Callable[[dict], dict | Mended | str]


def record(question: str, steps: list[str], labels: list[str]) -> dict:
    return {"src": [question], "tgt": [], "responses": steps, "labels": labels}


def from_prm800k_candidate(row: dict) -> dict | str:
    """The earlier steps are those that the labellers continued from; 0 is their word for a step that is not wrong but
    does not help."""
    rating = row["rating"]
    if rating is None:
        return "no rating"
    if rating not in (1, 0, -1):
        raise Unfit(rating, "unknown rating", "rating", "it is 1, 0, -1 or null")
    earlier = row["responses"]
    labels = [RIGHT] * len(earlier) + [WRONG if rating == -1 else RIGHT]
    return record(row["instruction"], [*earlier, row["next_response"]], labels)


def from_processbench(row: dict) -> dict:
    steps, first_wrong = row["steps"], row["label"]
    if not -1 <= first_wrong < len(steps):
        detail = f"label is the first wrong one of {len(steps)} steps, from 0"
        raise Unfit(first_wrong, "label beyond the steps", detail, "correct it, or write -1 if no step is wrong")
    right = len(steps) if first_wrong == -1 else first_wrong
    return record(row["problem"], steps, [RIGHT] * right + [WRONG] * (len(steps) - right))


def from_trl(row: dict) -> dict:
    for number, label in enumerate(row["labels"]):
        if not isinstance(label, bool):
            raise Unfit(label, "unknown label", f"labels[{number}]", "write true or false")
    return record(row["prompt"], row["completions"], [RIGHT if label else WRONG for label in row["labels"]])


def from_prmbench(row: dict) -> dict | Mended | str:
    """Blank steps, of which there are some, are dropped, and what comes after them moves up with its label."""
    steps, errors = row["modified_process"], row["error_steps"]
    for number, error in enumerate(errors):
        if type(error) is not int or error < 1:
            raise Unfit(error, "not a step number", f"error_steps[{number}]", "steps are counted from 1")
    if any(error > len(steps) for error in errors):
        return "error_steps beyond the steps"
    labels = [WRONG if number in errors else RIGHT for number in range(1, len(steps) + 1)]
    judged = [(step, label) for step, label in zip(steps, labels, strict=True) if not _is_blank(step)]
    made = record(row["modified_question"], [step for step, _ in judged], [label for _, label in judged])
    dropped = len(steps) - len(judged)
    return Mended(made, "blank steps dropped", dropped) if dropped and judged else made


def _is_blank(step: object) -> bool:
    return isinstance(step, str) and not step.strip()


FORMATS = {
    "prm800k-candidates": Format(
        "a candidate for the next step in each row, as PRM800K's raters judged it",
        {"instruction": (str,), "responses": (list,), "next_response": (str,), "rating": (int, NoneType)},
        from_prm800k_candidate,
    ),
    "processbench": Format(
        "a solution and the number of its first wrong step",
        {"problem": (str,), "steps": (list,), "label": (int,)},
        from_processbench,
    ),
    "prmbench": Format(
        "a solution that was made wrong, and the numbers of its wrong steps",
        {"modified_question": (str,), "modified_process": (list,), "error_steps": (list,)},
        from_prmbench,
    ),
    "trl": Format(
        "TRL's stepwise supervision: true or false for each completion",
        {"prompt": (str,), "completions": (list,), "labels": (list,)},
        from_trl,
    ),
}
