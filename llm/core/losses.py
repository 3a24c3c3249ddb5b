"""Losses as pure functions of tensors."""

from __future__ import annotations

import paddle.nn.functional as F


def reward_cross_entropy(logits_K2, targets_K):
    """[K]: cross entropy of each scored position against (target, 1 - target); column 0 is "+"."""
    log_p_K2 = F.log_softmax(logits_K2.astype("float32"), axis=-1)
    return -(targets_K * log_p_K2[:, 0] + (1.0 - targets_K) * log_p_K2[:, 1])


def reward_scores(logits_K2):
    """[K]: p("+") of each scored position."""
    return F.softmax(logits_K2.astype("float32"), axis=-1)[:, 0]
