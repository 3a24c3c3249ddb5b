"""What is measured of answers with a label each, in training and evaluation alike. No paddle here.

A label is right above 0.5, and a reward above 0 says right.
"""

from __future__ import annotations

from typing import Any

METRICS = {
    "loss": "mean cross entropy of the labels and the answers' probabilities of being right",
    "accuracy": "share of answers judged as labelled",
    "accuracy_positive": "the same among right answers",
    "accuracy_negative": "the same among wrong answers",
    "positive_reward": "mean reward of right answers: `beta` times their log-ratio to the reference",
    "negative_reward": "the same of wrong answers",
    "answers": "answers that were judged",
}
NOT_FOR_BEST = ("answers",)
# Sums over answers, of which the metrics are made
SUMS = ("positive", "negative", "positive_hits", "negative_hits", "positive_rewards", "negative_rewards")


def sums_of(rewards: Any, labels: Any, real: Any) -> dict[str, Any]:
    """[A] float64 each, as tensors or arrays; `real` is 1 for an answer that counts, else 0."""
    positive = (labels > 0.5).astype("float64") * real
    negative = real - positive
    right = (rewards > 0).astype("float64")
    columns = (positive, negative, positive * right, negative * (1 - right), positive * rewards, negative * rewards)
    return {name: column.sum() for name, column in zip(SUMS, columns, strict=True)}


def outcome_metrics(sums: dict[str, float]) -> dict[str, float]:
    """Without those whose denominator is zero."""
    hits, answers = sums["positive_hits"] + sums["negative_hits"], sums["positive"] + sums["negative"]
    ratios = {
        "accuracy": (hits, answers),
        "accuracy_positive": (sums["positive_hits"], sums["positive"]),
        "accuracy_negative": (sums["negative_hits"], sums["negative"]),
        "positive_reward": (sums["positive_rewards"], sums["positive"]),
        "negative_reward": (sums["negative_rewards"], sums["negative"]),
    }
    return {name: float(part / whole) for name, (part, whole) in ratios.items() if whole}
