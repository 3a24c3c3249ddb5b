"""What an evaluation of answers measures. No paddle here."""

from __future__ import annotations

import numpy as np

LARGEST_LOSS = 700.0  # whose exponential is a number

METRICS = {
    "loss": "mean of -log p over the tokens of the answers",
    "perplexity": "exponential of the loss",
    "accuracy": "share of the tokens that are the likeliest ones",
    "answer_tokens": "tokens of the answers",
}
COUNTS = ("answer_tokens",)


def answer_metrics(losses: np.ndarray, hits: np.ndarray) -> dict[str, float]:
    return {
        "perplexity": float(np.exp(min(losses.mean(dtype="float64"), LARGEST_LOSS))),
        "accuracy": float(hits.mean(dtype="float64")),
        "answer_tokens": len(hits),
    }
