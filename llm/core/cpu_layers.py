"""The norm, rotary embedding and activation of PaddleNLP's models, written so that a CPU does them fast.

The formulas are PaddleNLP's. What differs: `x * x` for `x.pow(2)`, which takes a power function per element; the half
rotation as a multiplication by a constant matrix, for two slices, a negation and a concatenation, each a pass over
memory in both directions.
"""

from __future__ import annotations

import importlib
from functools import lru_cache

import numpy as np
import paddle
import paddle.nn.functional as F

FAMILIES = {"llama": "LlamaRMSNorm", "qwen2": "Qwen2RMSNorm", "mistral": "MistralRMSNorm"}


def install() -> None:
    """For every model of these families in this process; on a CPU only."""
    for family, norm in FAMILIES.items():
        modeling = importlib.import_module(f"paddlenlp.transformers.{family}.modeling")
        modeling.rotate_half = rotate_half
        modeling.swiglu = F.swiglu
        getattr(modeling, norm).forward = rms_norm


def rms_norm(self, hidden_states):
    variance = (hidden_states * hidden_states).mean(-1, keepdim=True)
    return hidden_states * paddle.rsqrt(variance + self.variance_epsilon) * self.weight


def rotate_half(x):
    """(x1, x2) -> (-x2, x1) along the last axis."""
    return paddle.matmul(x, _half_rotation(x.shape[-1]))


@lru_cache
def _half_rotation(size: int):
    half = size // 2
    matrix = np.zeros([size, size], "float32")
    matrix[np.arange(half, size), np.arange(half)] = -1
    matrix[np.arange(half), np.arange(half, size)] = 1
    return paddle.to_tensor(matrix)
