"""The logarithm of the sum of exp(logit) over the whole vocabulary, without holding the logits."""

from __future__ import annotations

import paddle
from paddle.autograd import PyLayer

LOGITS_AT_A_TIME = 1 << 24


class LogNormaliser(PyLayer):
    """[K]: logsumexp(hidden @ W) of each position. The logits of some positions at a time are made, reduced to one
    number each and, in the backward pass, made again: gradient of a logit is its probability."""

    @staticmethod
    def forward(ctx, hidden_KE, weight, tied):
        ctx.tied = tied  # W is [V, E], else [E, V]
        parts = [paddle.logsumexp(logits_of(some, weight, tied), axis=-1) for some in pieces(hidden_KE, weight, tied)]
        normaliser_K = paddle.concat(parts)
        ctx.save_for_backward(hidden_KE, weight, normaliser_K)
        return normaliser_K

    @staticmethod
    def backward(ctx, gradient_K):
        hidden_KE, weight, normaliser_K = ctx.saved_tensor()
        hidden_parts, weight_gradient, start = [], paddle.zeros_like(weight, dtype="float32"), 0
        for some_NE in pieces(hidden_KE, weight, ctx.tied):
            places = slice(start, start := start + some_NE.shape[0])
            share_NV = paddle.exp(logits_of(some_NE, weight, ctx.tied) - normaliser_K[places].unsqueeze(-1))
            share_NV = (share_NV * gradient_K[places].unsqueeze(-1)).astype(weight.dtype)
            hidden_parts.append(paddle.matmul(share_NV, weight, transpose_y=not ctx.tied))
            sides = (share_NV, some_NE) if ctx.tied else (some_NE, share_NV)
            weight_gradient += paddle.matmul(*sides, transpose_x=True).astype("float32")
        return paddle.concat(hidden_parts).astype(hidden_KE.dtype), weight_gradient.astype(weight.dtype)


def log_normaliser(hidden_KE, weight, tied: bool):
    return LogNormaliser.apply(hidden_KE, weight, tied)


def logits_of(hidden_NE, weight, tied: bool):
    return paddle.matmul(hidden_NE, weight, transpose_y=tied).astype("float32")


def pieces(hidden_KE, weight, tied: bool):
    vocabulary = weight.shape[0 if tied else 1]
    at_a_time = max(LOGITS_AT_A_TIME // vocabulary, 1)
    return [hidden_KE[start : start + at_a_time] for start in range(0, hidden_KE.shape[0], at_a_time)]
