"""How good a reward model's scores are: pure functions of scores and labels, in numpy only.

A label is "+" if it is above 0.5, as a score is. A value that the data leaves undefined, its denominator being zero
(error_recall without any "-" label), is None, which JSON writes as null; JSON has no NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from llm.core.console import UserError

ECE_BINS = 15
# A softmax in low precision may land a rounding error outside [0, 1]; anything further is not a probability.
SLACK = 1e-6
NEAR = 0.01  # to an interval's end, for a label that it covers

Metrics = dict[str, float | int | None]
Statistic = Callable[[np.ndarray], float]

# What each metric means, for the docs. Steps and answers share the first part.
JUDGEMENT = {
    "accuracy": "share judged as labelled",
    "accuracy_positive": "the same among those labelled `+`",
    "accuracy_negative": "the same among those labelled `-`",
    "balanced_accuracy": "mean of these two; 0.5 for a model that always answers the same",
    "error_precision": "of those predicted `-`, the share labelled `-`",
    "error_recall": "of those labelled `-`, the share predicted `-`",
    "error_f1": "harmonic mean of these two",
    "auc": "how often a `+` scores higher than a `-`; a tie counts one half, and the same step of the same solution "
    "text ties with itself however it is packed",
    "ece": f"mean distance between score and label over {ECE_BINS} bins of equal width, weighted by what is in them",
    "positive_share": "share of `+` labels",
}
STEP_METRICS = {
    "loss": "mean cross entropy of all held-out steps over the two reward tokens, with the labels of the data as they "
    "are: no weights, smoothing or `prm_loss`; with `reward_head` quantile their mean pinball loss",
    **JUDGEMENT,
    "first_error_accuracy": "share of solutions whose first predicted `-` is their first labelled `-`, or that have "
    "neither; without solutions whose first wrong step was cut away by `max_seq_len`",
    "first_error_unknown": "solutions that are left out of `first_error_accuracy`",
    "steps": "steps that were judged",
    "solutions": "solutions that were judged",
}
OUTCOME_METRICS = {
    "loss": "mean cross entropy of all held-out answers over the two reward tokens; with `reward_head` quantile their "
    "mean pinball loss",
    **JUDGEMENT,
    "precision": "of the answers predicted `+`, the share labelled `+`",
    "recall": "of the answers labelled `+`, the share predicted `+`",
    "f1": "harmonic mean of these two",
    "answers": "answers that were judged",
}
INTERVAL_METRICS = {
    "coverage": f"share of labels in the interval from the 0.1 to the 0.9 quantile, or at most {NEAR} outside, because "
    "no sigmoid reaches 0 or 1; it should be 0.8 or more",
    "interval_width": "mean width of the interval",
}
PREFERENCE_METRICS = {
    "loss": "mean of -log sigmoid(reward of chosen - reward of rejected), without margin and centering",
    "accuracy": "share of pairs whose chosen answer has the larger reward; a tie is not a hit",
    "ties": "share of pairs with equal rewards",
    "margin_mean": "mean of reward of chosen - reward of rejected",
    **{
        f"{answer}_reward_{statistic}": f"{statistic} of the rewards of the {answer} answers"
        for answer in ("chosen", "rejected")
        for statistic in ("mean", "std", "min", "max")
    },
    "pairs": "pairs that were judged",
}


def step_metrics(
    scores: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike,
    error_cut: ArrayLike | None = None,
    texts: ArrayLike | None = None,
) -> Metrics:
    """Compare the score of every step with its label.

    scores: the probability that the step is right ("+"), in [0, 1]. labels: from 1 for "+" to 0 for "-". groups: an
    integer for every step, equal for the steps of one solution. These are in the order of the solution; steps of other
    solutions may lie between them. error_cut: whether a step belongs to a solution whose first wrong step was cut away.
    Nobody can find that one, so first_error_accuracy leaves the solution out. texts: an integer for every step, equal
    for steps that are the same text behind the same text. Their scores are equal but for rounding, which depends on
    what else was computed with them; for auc they tie.

    Returns, in addition to the metrics of `_judgement`, under keys that do not depend on the data:
    - first_error_accuracy: the share of solutions whose first predicted "-" is exactly their first labelled
      "-", or which have neither; first_error_unknown: how many solutions are left out of it;
    - steps, solutions: how many there are.

    Raises ValueError for arrays of different lengths, a score that is not a probability, or a label outside [0, 1].
    """
    p, y, g = (np.asarray(a) for a in (scores, labels, groups))
    _check(p, y, g)
    cut = np.zeros(len(p), bool) if error_cut is None else np.asarray(error_cut, bool)
    solutions, unknown = len(np.unique(g)), len(np.unique(g[cut]))
    met = _first_errors_met(p[~cut] > 0.5, y[~cut] > 0.5, g[~cut])
    return {
        **_judgement(p, y, texts),
        "first_error_accuracy": _ratio(met, solutions - unknown),
        "first_error_unknown": unknown,
        "steps": len(p),
        "solutions": solutions,
    }


def outcome_metrics(scores: ArrayLike, labels: ArrayLike, texts: ArrayLike | None = None) -> Metrics:
    """The same for answers with one score each; `precision`, `recall` and `f1` are of finding the right answers."""
    p, y = (np.asarray(a) for a in (scores, labels))
    _check(p, y, np.arange(len(p)))
    judgement = _judgement(p, y, texts)
    predicted, right = p > 0.5, y > 0.5
    found = int((predicted & right).sum())
    return {
        **judgement,
        "precision": _ratio(found, predicted.sum()),
        "recall": judgement["accuracy_positive"],
        "f1": _ratio(2 * found, predicted.sum() + right.sum()),
        "answers": len(p),
    }


def interval_metrics(low: ArrayLike, high: ArrayLike, labels: ArrayLike) -> Metrics:
    """Of the intervals in which a quantile head expects labels to lie."""
    a, b, y = (np.asarray(array, np.float64) for array in (low, high, labels))
    covered = (a - NEAR <= y) & (y <= b + NEAR)
    return {"coverage": _ratio(covered.sum(), len(y)), "interval_width": _ratio((b - a).sum(), len(y))}


def preference_metrics(chosen: ArrayLike, rejected: ArrayLike) -> Metrics:
    """Compare the rewards of the chosen and the rejected answer of every pair.

    - accuracy: the share of pairs in which the chosen answer has the larger reward; ties: the share with equal ones;
    - margin_mean: the mean of reward(chosen) - reward(rejected);
    - chosen_reward_* and rejected_reward_*: mean, std, min and max of the rewards;
    - pairs: how many there are.
    """
    c, r = (np.asarray(a, np.float64) for a in (chosen, rejected))
    if c.ndim != 1 or c.shape != r.shape:
        raise ValueError(f"rewards of the shapes {c.shape} and {r.shape}: every pair needs one of each, in flat arrays")
    if bad := int((~np.isfinite(c) | ~np.isfinite(r)).sum()):
        raise UserError(f"{bad} of {len(c)} pairs have a reward that is NaN or infinite: the model has diverged")
    statistics: dict[str, Statistic] = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}
    named = [("chosen", c), ("rejected", r)]
    return {
        "accuracy": _ratio((c > r).sum(), len(c)),
        "ties": _ratio((c == r).sum(), len(c)),
        "margin_mean": _ratio((c - r).sum(), len(c)),
        **{
            f"{name}_reward_{statistic}": float(of(values)) if len(values) else None
            for name, values in named
            for statistic, of in statistics.items()
        },
        "pairs": len(c),
    }


def _judgement(p: np.ndarray, y: np.ndarray, texts: ArrayLike | None) -> Metrics:
    """- positive_share: the share of "+" labels;
    - accuracy; accuracy_positive and accuracy_negative: among what is labelled "+" and "-";
      balanced_accuracy: the mean of these two;
    - error_precision, error_recall, error_f1: finding the errors, what is labelled "-";
    - auc: how often a "+" scores higher than a "-", a tie counting one half;
    - ece: the mean distance of score and label over 15 bins of equal width, weighted by what is in them.
    """
    p, y = p.astype(np.float64).clip(0.0, 1.0), y.astype(np.float64)
    right, predicted = y > 0.5, p > 0.5
    n, n_right = len(p), int(right.sum())
    n_error = n - n_right
    found = int((~predicted & ~right).sum())
    flagged = int((~predicted).sum())
    accuracy_positive = _ratio((predicted & right).sum(), n_right)
    accuracy_negative = _ratio(found, n_error)
    balanced = None
    if accuracy_positive is not None and accuracy_negative is not None:
        balanced = (accuracy_positive + accuracy_negative) / 2
    return {
        "accuracy": _ratio((predicted == right).sum(), n),
        "balanced_accuracy": balanced,
        "accuracy_positive": accuracy_positive,
        "accuracy_negative": accuracy_negative,
        "error_precision": _ratio(found, flagged),
        "error_recall": accuracy_negative,
        "error_f1": _ratio(2 * found, flagged + n_error),
        "auc": _auc(p if texts is None else _tied(p, np.asarray(texts)), right),
        "ece": calibration_error(p, y),
        "positive_share": _ratio(n_right, n),
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
            f"{len(bad)} of {len(p)} scores are not probabilities, the first is {p[bad[0]]} at index {bad[0]}: "
            "a score is the softmax over the two reward tokens (NaN means that the model has diverged)"
        )
    bad = np.flatnonzero(~((y >= 0) & (y <= 1)))
    if len(bad):
        problems.append(
            f"{len(bad)} of {len(y)} labels are outside 0 (wrong) to 1 (right), the first is {y[bad[0]]} at index "
            f"{bad[0]}"
        )
    if problems:
        raise ValueError("; ".join(problems) + ".")


def _ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None


def _tied(p: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """The mean score of each text."""
    _, place, count = np.unique(texts, return_inverse=True, return_counts=True)
    return (np.bincount(place, weights=p) / count)[place]


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


def calibration_error(p: np.ndarray, y: np.ndarray) -> float | None:
    """The mean distance of score and label over bins of equal width, weighted by what is in them."""
    bins = np.minimum((p * ECE_BINS).astype(np.int64), ECE_BINS - 1)  # a score of 1 belongs to the last bin
    return _ratio(np.abs(np.bincount(bins, weights=p - y, minlength=ECE_BINS)).sum(), len(p))
