"""Labelled steps: the metrics of training's evaluation, and how they depend on the step's place, the solution's length
and the problem. Data are records of training (src, responses, labels)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from llm.alignment.rm.flashmask.reward_metrics import interval_metrics, step_metrics
from llm.core.paths import SUFFIXES
from llm.core.records.records import iter_records
from llm.core.records.reward_records import Record
from llm.evaluation.suite import BadData, Item, Judged, Outcome, Progress, Suite, Table, mean

LAST_PLACE, LENGTHS = 10, (1, 2, 4, 8, 16, 32)  # places from the last on are one; lengths up to each bound
HARDEST = 10
SHOWN = ("accuracy", "balanced_accuracy", "error_f1", "auc", "steps")
OF_SOLUTIONS = "first_error_accuracy"


def read(files: Sequence[Path], progress: Progress) -> list[Item]:
    items = []
    for record in iter_records([str(file) for file in files], progress=progress):
        assert isinstance(record, Record)  # the form that is read unless another one is asked for
        unlabelled = replace(record, labels=(0.0,) * len(record.steps))  # every step is scored
        items.append(Item(record.place, (unlabelled,), record.labels))
    if not any(label is not None for item in items for label in item.truth):
        raise BadData(f"{', '.join(map(str, files))}: no step has a label. Give data to evaluate on.")
    return items


def evaluate(judged: list[Judged], threshold: float) -> Outcome:
    scored = [(item, scores[0]) for item, scores in judged if scores]
    p = np.array([p for item, scores in scored for p, _ in _labelled(item, scores)])
    y = np.array([label for item, scores in scored for _, label in _labelled(item, scores)])
    counts = [len(list(_labelled(item, scores))) for item, scores in scored]
    solution = np.repeat(np.arange(len(scored)), counts)
    metrics: dict[str, Any] = {"overall": _figures(p, y, solution, threshold)}

    def by(keys: Callable[[Item], list[Any]]) -> dict[Any, dict[str, Any]]:
        of_step = [key for item, scores in scored for key in keys(item)]
        return {
            key: _figures(p[mask], y[mask], solution[mask], threshold)
            for key in sorted(set(of_step))
            if (mask := np.array([one == key for one in of_step])).any()
        }

    metrics["by_position"] = {_place(key): found for key, found in by(_places).items()}
    metrics["by_length"] = {_length(key): found for key, found in by(_lengths).items()}
    metrics["by_problem"] = by_problem(scored, p, y, solution, threshold)
    tables = [
        _table("steps", "", {"all": metrics["overall"]}, (*SHOWN, OF_SOLUTIONS)),
        _table("by position of the step", "step", metrics["by_position"]),
        _table("by steps of the solution", "steps", metrics["by_length"]),
        _of_problems(metrics["by_problem"]),
    ]
    if scored and all(scores.interval is not None for _, scores in scored):
        metrics["intervals"] = of_intervals(scored)
        tables.append(_table("intervals", "labels", metrics["intervals"], ("coverage", "interval_width", "steps")))
    return Outcome(metrics, tables)


def of_intervals(scored: list[tuple[Item, Any]]) -> dict[str, dict[str, Any]]:
    """Of a quantile head's intervals: the share of labels that they cover, and their mean width."""
    low, high, y = np.array(
        [
            ends
            for item, scores in scored
            for ends in zip(scores.low.steps, scores.high.steps, item.truth, strict=True)
            if ends[-1] is not None
        ]
    ).T
    kinds = {"all": y >= 0, "0": y == 0, "between": (y > 0) & (y < 1), "1": y == 1}
    return {
        name: interval_metrics(low[mask], high[mask], y[mask]) | {"steps": int(mask.sum())}
        for name, mask in kinds.items()
        if mask.any()
    }


def _labelled(item: Item, scores: Any) -> list[tuple[float, float]]:
    return [(p, label) for p, label in zip(scores.steps, item.truth, strict=True) if label is not None]


def _places(item: Item) -> list[int]:
    return [min(n, LAST_PLACE) for n, label in enumerate(item.truth, 1) if label is not None]


def _lengths(item: Item) -> list[int]:
    bound = next((bound for bound in LENGTHS if len(item.truth) <= bound), LENGTHS[-1] + 1)
    return [bound] * sum(label is not None for label in item.truth)


def _place(place: int) -> str:
    return f"{place} or later" if place == LAST_PLACE else str(place)


def _length(bound: int) -> str:
    if bound > LENGTHS[-1]:
        return f"more than {LENGTHS[-1]}"
    least = LENGTHS[LENGTHS.index(bound) - 1] + 1 if bound > 1 else 1
    return str(bound) if least == bound else f"{least} to {bound}"


def _figures(p: np.ndarray, y: np.ndarray, solution: np.ndarray, threshold: float) -> dict[str, Any]:
    """The metrics of training; where the threshold is another one, it becomes the 0.5 that verdicts are made at."""
    found = step_metrics(p, y, solution)
    if threshold == 0.5:
        return dict(found)
    moved = step_metrics(np.where(p > threshold, 1.0, 0.0), y, solution)
    return {**moved, **{name: found[name] for name in ("auc", "ece")}}


def by_problem(
    scored: list[tuple[Item, Any]], p: np.ndarray, y: np.ndarray, solution: np.ndarray, threshold: float
) -> dict[str, Any]:
    """Means over problems, which count alike however many solutions they have; and the problems judged worst."""
    problem_of: dict[Hashable, int] = {}
    of_solution = np.array([problem_of.setdefault(item.solutions[0].src, len(problem_of)) for item, _ in scored])
    places = {number: item.place for (item, _), number in reversed(list(zip(scored, of_solution, strict=True)))}
    of_step, hit = of_solution[solution], (p > threshold) == (y > 0.5)
    steps = np.bincount(of_step, minlength=len(problem_of))
    accuracy = np.bincount(of_step, weights=hit, minlength=len(problem_of)) / np.maximum(steps, 1)
    known = np.flatnonzero(steps)
    worst = known[np.argsort(accuracy[known], kind="stable")][:HARDEST]
    return {
        "problems": len(known),
        "accuracy": mean(accuracy[known].tolist()),
        "hardest": [
            {"first_record": places[number], "accuracy": float(accuracy[number]), "steps": int(steps[number])}
            for number in worst.tolist()
        ],
    }


def _of_problems(found: dict[str, Any]) -> Table:
    """The mean over problems, and those that are not judged rightly throughout, the worst first."""
    rows = [("mean of all", found["accuracy"], found["problems"], None)]
    rows += [(one["first_record"], one["accuracy"], 1, one["steps"]) for one in found["hardest"] if one["accuracy"] < 1]
    return Table("by problem", ("first record", "accuracy", "problems", "steps"), rows)


def _table(title: str, name: str, found: dict[str, dict[str, Any]], columns: Sequence[str] = SHOWN) -> Table:
    return Table(title, (name, *columns), [(key, *(one[column] for column in columns)) for key, one in found.items()])


def headline(metrics: dict[str, Any]) -> dict[str, float | None]:
    return {name: metrics["overall"][name] for name in (*SHOWN[:-1], OF_SOLUTIONS)}


def labels(item: Item) -> Sequence[float | None]:
    return item.truth


SUITE = Suite(
    "steps",
    "src, responses, labels (records of training)",
    True,
    read,
    evaluate,
    headline,
    labels=labels,
    suffixes=SUFFIXES,
)
