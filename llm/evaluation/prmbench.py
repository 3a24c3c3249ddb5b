"""PRMBench: which steps of a changed solution are wrong, by the kind of change.

A step is valid if its score is above the threshold. Steps that `error_steps` names, counted from 1, should not be; one
behind the last step is not counted. Valid is the positive class. PRMScore is 0.5 F1 + 0.5 negative F1, where an empty
denominator gives -1, as in the benchmark's own code: a class without any step predicted valid has precision -1. Of
multi_solutions, where every step is right, it is F1 alone. The overall score is that of all steps together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from llm.evaluation.suite import Item, Judged, Outcome, Progress, Suite, Table, read_items, solution, wanted

GROUPS = {
    "simplicity": ("redundency", "circular"),
    "soundness": ("counterfactual", "step_contradiction", "domain_inconsistency", "confidence"),
    "sensitivity": ("missing_condition", "deception", "multi_solutions"),
}
CLASSES = tuple(name for names in GROUPS.values() for name in names)
ALL_RIGHT = "multi_solutions"
EMPTY = -1.0  # what the benchmark's code gives for a denominator of 0


def item_of(place: str, row: dict, subset: str) -> Item:
    question, process, errors = wanted(place, row, modified_question=str, modified_process=list, error_steps=list)
    name = row.get("classification") or subset
    name = "redundency" if name == "redundancy" else name  # as the published files spell it
    if name not in CLASSES:
        raise ValueError(f"{place}: classification is {name!r}. It is one of {', '.join(CLASSES)}.")
    if strange := [error for error in errors if not isinstance(error, int) or isinstance(error, bool) or error < 1]:
        raise ValueError(f"{place}: error_steps has {strange[0]!r}. They are numbers of steps, counted from 1.")
    steps = [(number, step) for number, step in enumerate(process, 1) if not isinstance(step, str) or step.strip()]
    kept = [number for number, _ in steps]  # a blank step has no score and no verdict
    is_wrong = tuple(number in errors for number in kept)
    return Item(place, (solution(place, question, [step for _, step in steps]),), is_wrong, name)


def read(files: Sequence[Path], progress: Progress) -> list[Item]:
    return read_items(files, item_of, progress)


def evaluate(judged: list[Judged], threshold: float) -> Outcome:
    counts: dict[str, Counter[str]] = {}
    for item, scores in judged:
        counts.setdefault(item.subset, Counter()).update(verdicts(item, scores, threshold))
    by_class = {name: of_class(name, counts[name]) for name in CLASSES if name in counts}
    overall = figures(sum(counts.values(), Counter()))
    metrics = {"overall": overall, "classes": by_class}
    rows = [(name, *shown(of_one)) for name, of_one in [*by_class.items(), ("overall", overall)]]
    return Outcome(metrics, [Table("PRMBench", ("class", "PRMScore", "F1", "negative F1", "steps"), rows)])


def shown(of_one: dict[str, float]) -> tuple[float, ...]:
    return tuple(of_one[name] for name in ("prm_score", "f1", "negative_f1", "steps"))


def verdicts(item: Item, scores: list, threshold: float) -> Iterable[str]:
    """Of each step: TP, FP, TN or FN, valid being positive. Without scores every verdict is wrong."""
    for number, is_wrong in enumerate(item.truth):
        is_valid = scores[0].steps[number] > threshold if scores else is_wrong
        yield {(True, False): "TP", (True, True): "FP", (False, True): "TN", (False, False): "FN"}[is_valid, is_wrong]


def of_class(name: str, counts: Counter[str]) -> dict[str, float]:
    found = figures(counts)
    return found | {"prm_score": found["f1"]} if name == ALL_RIGHT else found


def figures(counts: Counter[str]) -> dict[str, float]:
    positive = f1(counts["TP"], counts["FP"], counts["FN"])
    negative = f1(counts["TN"], counts["FN"], counts["FP"])
    return {
        "prm_score": 0.5 * positive + 0.5 * negative,
        "f1": positive,
        "negative_f1": negative,
        "accuracy": _over(counts["TP"] + counts["TN"], counts.total()),
        "steps": counts.total(),
    }


def f1(hits: int, false: int, missed: int) -> float:
    precision, recall = _over(hits, hits + false), _over(hits, hits + missed)
    return _over(2 * precision * recall, precision + recall)


def _over(part: float, whole: float) -> float:
    return part / whole if whole else EMPTY


def headline(metrics: dict[str, Any]) -> dict[str, float | None]:
    return {name: metrics["overall"][name] for name in ("prm_score", "f1", "negative_f1")}


def labels(item: Item) -> list[float]:
    return [0.0 if is_wrong else 1.0 for is_wrong in item.truth]


SUITE = Suite(
    "prmbench",
    "modified_question, modified_process, error_steps (from 1), classification",
    True,
    read,
    evaluate,
    headline,
    labels=labels,
)
