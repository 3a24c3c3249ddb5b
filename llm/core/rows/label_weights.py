"""What labels count in training: smoothing, a weight for their positive part, or solutions alike. No paddle here."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from llm.core.rows.payload import Labels
from llm.core.rows.row import Row

Labelled = TypeVar("Labelled", float, np.ndarray)


def weigh_labels(row: Row, smoothing: float, positive_weight: float) -> Row:
    """A label y becomes y (1 - smoothing) + smoothing / 2, and its cross entropy

        positive_weight * y * -log p  +  (1 - y) * -log(1 - p),

    which is the cross entropy of another target, times a weight.
    """
    payload = row.payload
    assert isinstance(payload, Labels)
    smooth = _smoothed(payload.labels.astype("float64"), smoothing)
    weight = positive_weight * smooth + (1 - smooth)
    targets = positive_weight * smooth / weight
    weights = (payload.weights * weight).astype("float32")
    return replace(row, payload=replace(payload, targets=targets.astype("float32"), weights=weights))


def weigh_solutions(row: Row) -> Row:
    """A solution counts its weight, however many labels it has."""
    payload = row.payload
    assert isinstance(payload, Labels)
    labels_of_solution = np.bincount(payload.solutions)[payload.solutions]
    return replace(row, payload=replace(payload, weights=(payload.weights / labels_of_solution).astype("float32")))


def _smoothed(labels: Labelled, smoothing: float, total: float = 1.0) -> Labelled:
    return labels * (1 - smoothing) + total * smoothing / 2


def balancing_weight(positive: float, total: float, smoothing: float) -> float:
    """The positive_weight with which both parts of labels that sum to `positive` of `total` count alike."""
    if not 0 < positive < total:
        every = "positive" if positive else "negative"
        raise ValueError(
            f"balance_labels: every label of the training data is {every}, so there is nothing to balance. Leave it "
            "out, or look at the labels of the data."
        )
    positive = _smoothed(positive, smoothing, total)
    return (total - positive) / positive
