"""Losses as pure functions of tensors. Column 0 of the logits is "+", column 1 is "-"."""

from __future__ import annotations

import paddle.nn.functional as F


def reward_cross_entropy(logits_M2, targets_M):
    """[M]: cross entropy over the two reward tokens against (target, 1 - target)."""
    return vocabulary_cross_entropy(F.log_softmax(logits_M2.astype("float32"), axis=-1), targets_M)


def vocabulary_cross_entropy(log_p_M2, targets_M):
    """[M]: the same over the whole vocabulary, given the logarithms of the two tokens' probabilities in it."""
    log_p_M2 = log_p_M2.astype("float32")
    return -(targets_M * log_p_M2[:, 0] + (1.0 - targets_M) * log_p_M2[:, 1])


def pair_loss(chosen_P, rejected_P, margins_P, centering: float):
    """[P]: -log sigmoid(r_chosen - r_rejected - margin) + centering * (r_chosen + r_rejected)^2."""
    total_P = chosen_P + rejected_P
    return F.softplus(rejected_P + margins_P - chosen_P) + centering * total_P * total_P


def rewards(logits_K2):
    """[K]: r = logit(+) - logit(-), so that p("+") = sigmoid(r)."""
    logits_K2 = logits_K2.astype("float32")
    return logits_K2[:, 0] - logits_K2[:, 1]


def reward_scores(logits_K2):
    """[K]: p("+") of each scored position."""
    return F.softmax(logits_K2.astype("float32"), axis=-1)[:, 0]
