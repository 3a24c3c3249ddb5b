"""How likely given next tokens are, and whether they are the likeliest, without holding the vocabulary's logits.

The logits of some positions at a time are made, reduced to numbers of each position and, in the backward pass, made
again. Ranks of tensor parallelism have a part of the vocabulary each, and combine the numbers.
"""

from __future__ import annotations

import paddle
import paddle.distributed as dist
from paddle.autograd import PyLayer
from paddle.distributed import fleet
from paddle.distributed.fleet.layers.mpu import mp_ops

from llm.core.model.head import heads
from llm.core.model.head.chunked_logsumexp import logits_of, pieces


class NextTokens(PyLayer):
    """([M] logarithm of the probability of next_ids, [M] whether nothing is likelier), of M positions. The gradient of
    a logit is 1 for the token that came next, less its probability."""

    @staticmethod
    def forward(ctx, hidden_ME, weight, next_ids_M, tied, group):
        ctx.tied = tied  # the weight is [V, E], else [E, V]
        size = weight.shape[0 if tied else 1]  # of this rank's part of the vocabulary
        ids_M = next_ids_M - (group.rank * size if group else 0)
        is_here_M = paddle.logical_and(ids_M >= 0, ids_M < size)
        ids_M = ids_M.clip(0, size - 1)
        normaliser_M, largest_M, target_M = _reduced(hidden_ME, weight, ids_M, tied)
        target_M = target_M * is_here_M.astype("float32")
        if group:
            normaliser_M, largest_M, target_M = _combined(normaliser_M, largest_M, target_M, group)
        ctx.save_for_backward(hidden_ME, weight, ids_M, is_here_M, normaliser_M)
        is_likeliest_M = (target_M >= largest_M).astype("float32")
        ctx.mark_non_differentiable(is_likeliest_M)
        return target_M - normaliser_M, is_likeliest_M

    @staticmethod
    def backward(ctx, gradient_M, _):
        hidden_ME, weight, ids_M, is_here_M, normaliser_M = ctx.saved_tensor()
        trains = not weight.stop_gradient
        hidden_parts, start = [], 0
        weight_gradient = paddle.zeros_like(weight, dtype="float32") if trains else None
        for some_NE in pieces(hidden_ME, weight, ctx.tied):
            places = slice(start, start := start + some_NE.shape[0])
            share_NV = -paddle.exp(logits_of(some_NE, weight, ctx.tied) - normaliser_M[places].unsqueeze(-1))
            came_N1 = is_here_M[places].astype("float32").unsqueeze(-1)
            share_NV = paddle.put_along_axis(share_NV, ids_M[places].unsqueeze(-1), came_N1, 1, reduce="add")
            share_NV = (share_NV * gradient_M[places].unsqueeze(-1)).astype(weight.dtype)
            hidden_parts.append(paddle.matmul(share_NV, weight, transpose_y=not ctx.tied))
            if trains:
                sides = (share_NV, some_NE) if ctx.tied else (some_NE, share_NV)
                weight_gradient += paddle.matmul(*sides, transpose_x=True).astype("float32")
        weight_gradient = weight_gradient.astype(weight.dtype) if trains else None
        return paddle.concat(hidden_parts).astype(hidden_ME.dtype), weight_gradient, None


def log_probabilities(model, hidden_KE, next_at_M, next_ids_M):
    """[M, 2]: the logarithm of the probability of each next token after its position `next_at_M` among K, and 1 where
    it is the likeliest."""
    weight = model.lm_head.weight
    group = None
    if weight.is_distributed:
        group = fleet.get_hybrid_communicate_group().get_model_parallel_group()
        hidden_KE = mp_ops._c_identity(hidden_KE, group=group)  # each rank has a part of the gradient
    hidden_ME = hidden_KE.gather(next_at_M)
    log_p_M, is_likeliest_M = NextTokens.apply(hidden_ME, weight, next_ids_M, heads.is_tied(model), group)
    return paddle.stack([log_p_M, is_likeliest_M], axis=-1)


def _reduced(hidden_ME, weight, ids_M, tied: bool):
    """[M] each: logsumexp of the logits, the largest one, that of the given token."""
    found, start = [], 0
    for some_NE in pieces(hidden_ME, weight, tied):
        logits_NV = logits_of(some_NE, weight, tied)
        ids_N1 = ids_M[start : start + len(some_NE)].unsqueeze(-1)
        start += len(some_NE)
        target_N = paddle.take_along_axis(logits_NV, ids_N1, 1).squeeze(-1)
        found.append((paddle.logsumexp(logits_NV, axis=-1), logits_NV.max(-1), target_N))
    return [paddle.concat(part) for part in zip(*found, strict=True)]


def _combined(normaliser_M, largest_M, target_M, group):
    """Over the parts of the vocabulary; the rank that has the token gives its logit, the others give 0."""
    mine_3M, of_ranks = paddle.stack([normaliser_M, largest_M, target_M]), []
    dist.all_gather(of_ranks, mine_3M, group=group)
    all_R3M = paddle.stack(of_ranks)
    return all_R3M[:, 0].logsumexp(0), all_R3M[:, 1].max(0), all_R3M[:, 2].sum(0)
