"""ProcessBench: does a model find the first wrong step of a solution, and none in a right one?

The answer of a model is the first step whose score is not above the threshold, -1 where there is none. It is right if
it is the label. Of each subset (a file): the accuracy on wrong solutions (label other than -1), on right ones, and F1,
the harmonic mean of both. Subsets are averaged. A solution that could not be scored counts as answered wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm.evaluation.suite import (
    Item,
    Judged,
    Outcome,
    Progress,
    Suite,
    Table,
    mean,
    ratio,
    read_items,
    solution,
    wanted,
)

ANSWER = "final_answer_correct"


def item_of(place: str, row: dict, subset: str) -> Item:
    problem, steps, label = wanted(place, row, problem=str, steps=list, label=int)
    if not -1 <= label < len(steps):
        raise ValueError(
            f"{place}: label {label} is not a step of {len(steps)}. It is the number of the first wrong step, "
            "counted from 0, or -1 where all are right."
        )
    known = {}
    if row.get(ANSWER) is not None:
        (known[ANSWER],) = wanted(place, row, final_answer_correct=bool)
    return Item(place, (solution(place, problem, steps),), label, subset, known)


def read(files: Sequence[Path], progress: Progress) -> list[Item]:
    return read_items(files, item_of, progress)


def evaluate(judged: list[Judged], threshold: float) -> Outcome:
    subsets = {item.subset for item, _ in judged}
    by_subset = {name: of_subset([one for one in judged if one[0].subset == name], threshold) for name in subsets}
    names = sorted(by_subset)
    average = {key: mean(by_subset[name][key] for name in names) for key in ("error", "correct", "f1")}
    metrics: dict[str, Any] = {"average": average, "subsets": {name or "all": by_subset[name] for name in names}}
    rows = [(name or "all", *by_subset[name].values()) for name in names]
    if len(names) > 1:
        rows.append(("average", *average.values(), sum(one["solutions"] for one in by_subset.values())))
    columns = ("subset", "acc. on wrong", "acc. on right", "F1", "solutions")
    return Outcome(metrics, [Table("ProcessBench", columns, rows)])


def of_subset(judged: list[Judged], threshold: float) -> dict[str, Any]:
    hits = [(item.truth, bool(scores) and answer(scores[0], threshold) == item.truth) for item, scores in judged]
    wrong, right = ([hit for label, hit in hits if (label != -1) == is_wrong] for is_wrong in (True, False))
    error, correct = ratio(sum(wrong), len(wrong)), ratio(sum(right), len(right))
    return {"error": error, "correct": correct, "f1": harmonic_mean(error, correct), "solutions": len(judged)}


def answer(scores: Any, threshold: float) -> int:
    first = scores.first_below(threshold)
    return -1 if first is None else first


def harmonic_mean(a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return None
    return 2 * a * b / (a + b) if a + b else 0.0


def headline(metrics: dict[str, Any]) -> dict[str, float | None]:
    average = metrics["average"]
    return {"F1": average["f1"], "on wrong": average["error"], "on right": average["correct"]}


def labels(item: Item) -> list[float | None]:
    """Nothing is known of the steps behind the first wrong one."""
    steps = len(item.solutions[0].steps)
    return [1.0] * steps if item.truth == -1 else [1.0] * item.truth + [0.0] + [None] * (steps - item.truth - 1)


SUITE = Suite(
    "processbench",
    "problem, steps, label (first wrong step from 0, or -1)",
    True,
    read,
    evaluate,
    headline,
    labels=labels,
)
