"""The norm, rotary embedding and activation of PaddleNLP's models, written so that a CPU does them fast.

The formulas are PaddleNLP's. With a C++ compiler they are kernels of one pass over memory (llm/core/cpu/kernels).
Without one they are Paddle's operations, chosen for speed: `x * x` for `x.pow(2)`, which takes a power function per
element; the half rotation as a multiplication by a constant matrix, for two slices, a negation and a concatenation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import paddle
import paddle.nn.functional as F
from paddlenlp.transformers.mistral import modeling as mistral
from paddlenlp.transformers.qwen2 import modeling as qwen2

from llm.core.cpu.kernels import operators
from llm.core.cpu.kernels.build import kernels

QWEN2_MLP, MISTRAL_MLP = qwen2.Qwen2MLP.forward, mistral.MistralMLP.forward


class Replacements(NamedTuple):
    """Of PaddleNLP's functions and methods."""

    norm_forward: Callable
    rotate_heads: Callable
    gate: Callable
    qwen2_mlp: Callable
    mistral_mlp: Callable


def choose(compiled: bool | None = None) -> Replacements:
    """`compiled` None: the kernels if they can be had."""
    compiled = kernels()[0] is not None if compiled is None else compiled
    norm = operators.rms_norm if compiled else rms_norm
    gate = partial(gated, operators.swiglu if compiled else F.swiglu)
    return Replacements(
        norm_forward=lambda layer, x: norm(x, layer.weight, layer.variance_epsilon),
        rotate_heads=partial(apply_rotary_pos_emb, operators.rotate if compiled else rotate),
        gate=gate,
        qwen2_mlp=lambda layer, x: _qwen2_mlp(layer, x, gate),
        mistral_mlp=lambda layer, x: _mistral_mlp(layer, x, gate),
    )


def _qwen2_mlp(layer, x, gate):
    if layer.fuse_swiglu:
        layer.act_fn = gate  # for the one that it found when it was built
    return QWEN2_MLP(layer, x)


def _mistral_mlp(layer, x, gate):
    if layer.config.hidden_act != "silu":
        return MISTRAL_MLP(layer, x)
    return layer.down_proj(gate(layer.gate_proj(x), layer.up_proj(x)))


def gated(gate, x, y=None):
    """silu(x) * y; of one tensor its halves."""
    return gate(*x.chunk(2, axis=-1)) if y is None else gate(x, y)


def apply_rotary_pos_emb(turn, q_BSHD, k_BSGD, cos, sin, position_ids_BS):
    """`cos` and `sin` are tables of shape [1, P, 1, D]."""
    tables = [table.reshape([-1, table.shape[-1]]) for table in (cos, sin)]
    return turn(q_BSHD, *tables, position_ids_BS), turn(k_BSGD, *tables, position_ids_BS)


def rms_norm(x, weight, epsilon: float):
    variance = (x * x).mean(-1, keepdim=True)
    return x * paddle.rsqrt(variance + epsilon) * weight


def rotate(x_BSHD, cosine_PD, sine_PD, positions_BS):
    """(x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin), x1 and x2 being the halves of a head."""
    cosine_BS1D, sine_BS1D = (table[positions_BS].unsqueeze(2) for table in (cosine_PD, sine_PD))
    return x_BSHD * cosine_BS1D + paddle.matmul(x_BSHD, _half_rotation(x_BSHD.shape[-1])) * sine_BS1D


@lru_cache
def _half_rotation(size: int):
    half = size // 2
    matrix = np.zeros([size, size], "float32")
    matrix[np.arange(half, size), np.arange(half)] = -1
    matrix[np.arange(half), np.arange(half, size)] = 1
    return paddle.to_tensor(matrix)
