"""What a reward model's scores depend on besides the truth. Pure functions of scores and labels; no paddle here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from llm.core.records.reward_records import Record
from llm.evaluation.suite import Judged, Labels, ratio
from llm.scoring.scores import Scores

BINS = 8  # of a step's properties
CONFIDENT = 0.95

Score = Callable[[list[Record]], list[Scores | None]]  # None for a solution that is too long
PROPERTIES: dict[str, Callable[[tuple[str, ...], int], float]] = {
    "position of the step": lambda steps, number: number,
    "steps of the solution": lambda steps, number: len(steps),
    "steps that follow": lambda steps, number: len(steps) - number - 1,
    "characters of the step": lambda steps, number: len(steps[number]),
    "share of digits in the step": lambda steps, number: sum(map(str.isdigit, steps[number])) / len(steps[number]),
}
# How the same solution may be written. None should change a verdict.
WRITINGS: dict[str, Callable[[str, int], str]] = {
    "numbered steps": lambda step, number: f"Step {number + 1}: {step}",
    "a full stop more or less": lambda step, number: step[:-1] if len(step) > 1 and step.endswith(".") else f"{step}.",
    "line breaks as blanks": lambda step, number: " ".join(step.split()),
    "two blanks for one": lambda step, number: step.replace(" ", "  "),
    "no blanks around = and +": lambda step, number: step.replace(" = ", "=").replace(" + ", "+"),
}


def lowest_at_end(judged: list[Judged], labels_of: Labels) -> dict[str, float | int | None]:
    """How often the last step has the lowest score, among solutions of two steps or more, and what of it the labels
    explain: among solutions without a wrong step, and with a wrong last step."""
    counted = {"all solutions": [0, 0], "without a wrong step": [0, 0], "with a right last step": [0, 0]}
    for item, scores in judged:
        if not scores or len(scores[0].steps) < 2:
            continue
        labels, steps = labels_of(item), scores[0].log_odds
        kinds = {
            "all solutions": True,
            "without a wrong step": all(label is not None and label > 0.5 for label in labels),
            "with a right last step": labels[-1] is not None and labels[-1] > 0.5,
        }
        for kind in (kind for kind, holds in kinds.items() if holds):
            counted[kind][0] += bool(steps[-1] < steps[:-1].min())
            counted[kind][1] += 1
    return {kind: ratio(*counts) for kind, counts in counted.items()}


def explained(judged: list[Judged], labels_of: Labels) -> dict[str, dict[str, float]]:
    """Of each property: the share of the variance of log-odds, among steps with the same label, that it explains; and
    how well it predicts the labels by itself (AUC, 0.5 for not at all), which is a shortcut that the data offers."""
    log_odds, labels, properties = [], [], []
    for item, scores in judged:
        texts = item.solutions[0].steps
        for number, label in enumerate(labels_of(item) if scores else ()):
            if label is not None:
                log_odds.append(scores[0].log_odds[number])
                labels.append(label > 0.5)
                properties.append([of(texts, number) for of in PROPERTIES.values()])
    r, right = np.array(log_odds), np.array(labels, bool)
    columns = np.array(properties, "float64").reshape(len(r), len(PROPERTIES)).T
    return {
        name: {"explained": _within_labels(r, right, column), "auc": _separation(column, right)}
        for name, column in zip(PROPERTIES, columns, strict=True)
    }


def _within_labels(r: np.ndarray, right: np.ndarray, column: np.ndarray) -> float:
    """Adjusted for chance: about 0 where the property says nothing."""
    total = between = spent = 0.0
    for of_label in (r[right], right), (r[~right], ~right):
        values, mask = of_label
        if len(values) < 2 * BINS:
            continue
        bins = np.searchsorted(np.unique(np.quantile(column[mask], np.linspace(0, 1, BINS + 1)))[1:-1], column[mask])
        counts = np.bincount(bins)
        means = np.bincount(bins, weights=values) / np.maximum(counts, 1)
        total += ((values - values.mean()) ** 2).sum()
        between += (counts * (means - values.mean()) ** 2).sum()
        spent += (np.count_nonzero(counts) - 1) * values.var()
    return float(max(between - spent, 0.0) / total) if total else 0.0


def _separation(column: np.ndarray, right: np.ndarray) -> float:
    """AUC of the property as a score of right against wrong steps, in the better of both directions."""
    a, b = np.sort(column[right]), column[~right]
    if not len(a) or not len(b):
        return 0.5
    below = np.searchsorted(a, b, side="left") + np.searchsorted(a, b, side="right")
    auc = float(below.sum() / (2 * len(a) * len(b)))
    return max(auc, 1 - auc)


def right_answer_wrong_process(judged: list[Judged], is_hidden: Callable[[Any], bool], threshold: float) -> dict:
    """Of solutions with a right answer and a wrong step, the share in which any step is judged wrong."""
    hidden = [scores for item, scores in judged if is_hidden(item) and scores]
    found = sum(scores[0].first_below(threshold) is not None for scores in hidden)
    return {"found": ratio(found, len(hidden)), "solutions": len(hidden)}


def sensitivity(judged: list[Judged], score: Score, threshold: float) -> dict[str, dict[str, float | None]]:
    """Of each way of writing: the share of solutions whose verdict and of steps whose judgement it changes, and the
    mean change of a step's score; among solutions whose text it changes, but for those that it makes too long."""
    found = {}
    for name, rewrite in WRITINGS.items():
        rewritten = list(_rewritten(judged, rewrite))
        others = score([record for _, record in rewritten])
        pairs = [(scores[0], other) for (scores, _), other in zip(rewritten, others, strict=True) if other is not None]
        before = np.concatenate([one.steps for one, _ in pairs]) if pairs else np.zeros(0)
        after = np.concatenate([other.steps for _, other in pairs]) if pairs else np.zeros(0)
        verdicts = [one.first_below(threshold) != other.first_below(threshold) for one, other in pairs]
        found[name] = {
            "verdicts": ratio(sum(verdicts), len(verdicts)),
            "steps": ratio(int(((before > threshold) != (after > threshold)).sum()), len(before)),
            "mean change": float(np.abs(before - after).mean()) if len(before) else None,
            "too long": len(rewritten) - len(pairs),
        }
    return found


def _rewritten(judged: list[Judged], rewrite: Callable[[str, int], str]) -> Iterator[tuple[list[Scores], Record]]:
    for item, scores in judged:
        solution = item.solutions[0]
        steps = tuple(rewrite(step, number) for number, step in enumerate(solution.steps))
        if scores and steps != solution.steps:
            yield scores, replace(solution, steps=steps)


def suspects(judged: list[Judged], labels_of: Labels, confident: float = CONFIDENT) -> list[dict[str, Any]]:
    """Steps whose label a confident score contradicts, the most confident first."""
    found = []
    for item, scores in judged:
        for number, label in enumerate(labels_of(item) if scores else ()):
            p = scores[0].steps[number]
            if label is not None and (p if label <= 0.5 else 1 - p) > confident:
                found.append(
                    {
                        "place": item.place,
                        "step": number,
                        "label": "+" if label > 0.5 else "-",
                        "score": round(p, 6),
                        "question": "\n".join(item.solutions[0].src),
                        "before": list(item.solutions[0].steps[:number]),
                        "text": item.solutions[0].steps[number],
                    }
                )
    return sorted(found, key=lambda one: min(one["score"], 1 - one["score"]))
