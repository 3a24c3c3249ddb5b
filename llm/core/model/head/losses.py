"""Losses as pure functions of tensors. Column 0 of the logits is "+", column 1 is "-"."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

NOTHING = -1e30  # a reward whose exponential is 0, and which has a gradient


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


def pinball_loss(quantiles_MQ, targets_M, levels: tuple[float, ...]):
    """[M]: the sum over the levels q of q * (y - v) where the label y lies above the quantile v, of (1 - q) * (v - y)
    where it lies below. The least expected loss is at the quantiles of the label."""
    above_MQ = targets_M.unsqueeze(-1) - quantiles_MQ
    levels_Q = paddle.to_tensor(levels, dtype=above_MQ.dtype)
    return paddle.maximum(levels_Q * above_MQ, (levels_Q - 1.0) * above_MQ).sum(-1)


def rewards(logits_K2):
    """[K]: r = logit(+) - logit(-), so that p("+") = sigmoid(r)."""
    logits_K2 = logits_K2.astype("float32")
    return logits_K2[:, 0] - logits_K2[:, 1]


def reward_scores(logits_K2):
    """[K]: p("+") of each scored position."""
    return F.softmax(logits_K2.astype("float32"), axis=-1)[:, 0]


def ranking_loss(rewards_M, right_M, solutions_M, margin: float):
    """[M]: of every mark the PQM loss of its solution. The marks of a solution lie together, in the order of its steps.

    In a solution of T steps rewards should rise from right step to right step, and exceed those of wrong steps by the
    margin. A root of reward 0 comes before the first step; it counts as right where a step is wrong. The loss is the
    mean over right ones of -log(e^r / (e^r + sum of earlier right e^r' + sum of wrong e^(r' + margin))).
    """
    _, counts_S = paddle.unique_consecutive(solutions_M, return_counts=True)
    counts_S1, steps_T = counts_S.unsqueeze(-1), paddle.arange(int(counts_S.max()))
    after_last = paddle.full_like(counts_S1, len(solutions_M))
    at_ST = paddle.where(steps_T < counts_S1, counts_S1.cumsum(0) - counts_S1 + steps_T, after_last)

    def by_solution(values_M, padding):
        """[S, T]"""
        padded = paddle.concat([values_M, paddle.full([1], padding, values_M.dtype)])
        return padded.gather(at_ST.flatten()).reshape(at_ST.shape)

    rewards_ST = by_solution(rewards_M.astype("float32"), 0.0)
    right_ST, wrong_ST = by_solution(right_M, False), by_solution(~right_M, False)
    nothing_ST = paddle.full_like(rewards_ST, NOTHING)
    wrong_S1 = paddle.where(wrong_ST, rewards_ST + margin, nothing_ST).logsumexp(-1, keepdim=True)
    # R = 1 + T: the root, and the steps
    rewards_SR = F.pad(paddle.where(right_ST, rewards_ST, nothing_ST), [1, 0])
    counted_SR = paddle.concat([wrong_ST.any(-1, keepdim=True), right_ST], axis=-1)
    losses_SR = paddle.logaddexp(rewards_SR.logcumsumexp(-1), wrong_S1.expand_as(rewards_SR)) - rewards_SR
    losses_SR = paddle.where(counted_SR, losses_SR, paddle.zeros_like(losses_SR))
    of_solution_S = losses_SR.sum(-1) / counted_SR.astype("float32").sum(-1)
    return of_solution_S.repeat_interleave(counts_S, axis=0)
