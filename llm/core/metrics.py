"""How good a process reward model's step scores are: pure functions of scores and labels, numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

ECE_BINS = 15
# A softmax in low precision may land a rounding error outside [0, 1]; anything further is no probability.
SLACK = 1e-6


def step_metrics(scores: ArrayLike, labels: ArrayLike, groups: ArrayLike) -> dict[str, float | int | None]:
    """Compare the score of every step with its label.

    scores: the probability that the step is right ("+"), in [0, 1]; above 0.5 the step is predicted "+".
    labels: 1 for "+", 0 for "-".
    groups: an integer for every step, equal for the steps of one solution. These stand in their order in
        the solution; steps of other solutions may stand between them.

    Returns, under keys that do not depend on the data:
    - steps, solutions: how many there are; positive_share: the share of "+" labels;
    - accuracy; accuracy_positive and accuracy_negative: among the steps labelled "+" and "-";
      balanced_accuracy: the mean of these two;
    - error_precision, error_recall, error_f1: finding the errors, the steps labelled "-";
    - auc: how often a "+" step scores higher than a "-" step, a tie counting one half;
    - first_error_accuracy: the share of solutions whose first predicted "-" is exactly their first labelled
      "-", or which have neither;
    - ece: the mean distance of score and label over 15 bins of equal width, weighted by their steps.
    A value that the data leaves undefined, its denominator being zero (error_recall without any "-" label),
    is None, which JSON writes as null; it has no number for NaN.

    Raises ValueError for arrays of different lengths, a score that is no probability, or a label that is
    neither 0 nor 1.
    """
    p, y, g = (np.asarray(a) for a in (scores, labels, groups))
    _check(p, y, g)
    p, right = p.astype(np.float64).clip(0.0, 1.0), y == 1
    predicted = p > 0.5
    n, n_right = len(p), int(right.sum())
    n_error = n - n_right
    found = int((~predicted & ~right).sum())
    flagged = int((~predicted).sum())
    accuracy_positive = _ratio((predicted & right).sum(), n_right)
    accuracy_negative = _ratio(found, n_error)
    defined = accuracy_positive is not None and accuracy_negative is not None
    solutions = len(np.unique(g))
    return {
        "accuracy": _ratio((predicted == right).sum(), n),
        "balanced_accuracy": (accuracy_positive + accuracy_negative) / 2 if defined else None,
        "accuracy_positive": accuracy_positive,
        "accuracy_negative": accuracy_negative,
        "error_precision": _ratio(found, flagged),
        "error_recall": accuracy_negative,
        "error_f1": _ratio(2 * found, flagged + n_error),
        "auc": _auc(p, right),
        "first_error_accuracy": _ratio(_first_errors_met(predicted, right, g), solutions),
        "ece": _ratio(_calibration_gap(p, right), n),
        "positive_share": _ratio(n_right, n),
        "steps": n,
        "solutions": solutions,
    }


def _check(p: np.ndarray, y: np.ndarray, g: np.ndarray) -> None:
    if not p.ndim == y.ndim == g.ndim == 1 or not len(p) == len(y) == len(g):
        raise ValueError(
            f"scores, labels and groups have the shapes {p.shape}, {y.shape} and {g.shape}: every scored "
            "step needs one of each, in one flat array. Flatten them and leave out the padding."
        )
    problems = []
    bad = np.flatnonzero(~((p >= -SLACK) & (p <= 1 + SLACK)))  # written so that NaN is bad
    if len(bad):
        problems.append(
            f"{len(bad)} of {len(p)} scores are no probability, the first is {p[bad[0]]} at index {bad[0]}: "
            "a score is the softmax over the two reward tokens (NaN means that the model has diverged)"
        )
    bad = np.flatnonzero((y != 0) & (y != 1))
    if len(bad):
        problems.append(
            f"{len(bad)} of {len(y)} labels are neither 1 nor 0, the first is {y[bad[0]]} at index {bad[0]}: "
            "decide soft labels first, for example by labels > 0.5"
        )
    if problems:
        raise ValueError("; ".join(problems) + ".")


def _ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None


def _auc(p: np.ndarray, right: np.ndarray) -> float | None:
    """The Mann-Whitney statistic over all pairs, from mean ranks: exact with ties, in O(n log n)."""
    _, place, count = np.unique(p, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(count) - (count - 1) / 2
    n_right = int(right.sum())
    won = mean_rank[place][right].sum() - n_right * (n_right + 1) / 2
    return _ratio(won, n_right * (len(p) - n_right))


def _first_errors_met(predicted: np.ndarray, right: np.ndarray, g: np.ndarray) -> int:
    ids, solution = np.unique(g, return_inverse=True)

    def first(wrong: np.ndarray) -> np.ndarray:
        index = np.full(len(ids), len(g))  # past the end: no error in this solution
        np.minimum.at(index, solution[wrong], np.flatnonzero(wrong))
        return index

    return int((first(~predicted) == first(~right)).sum())


def _calibration_gap(p: np.ndarray, right: np.ndarray) -> float:
    bins = np.minimum((p * ECE_BINS).astype(np.int64), ECE_BINS - 1)  # a score of 1 belongs to the last bin
    return float(np.abs(np.bincount(bins, weights=p - right, minlength=ECE_BINS)).sum())
