"""float32 to bfloat16 and back: by the compiled kernels, or without them by Paddle's casts, on one thread."""

from __future__ import annotations

import paddle

from llm.core.cpu.environment import threads
from llm.core.cpu.kernels import operators
from llm.core.cpu.kernels.build import kernels


def to_bfloat16(x):
    return _converted("to_bfloat16", x, "bfloat16") if kernels()[0] else x.astype("bfloat16")


def to_float32(x):
    return _converted("to_float32", x, "float32") if kernels()[0] else x.astype("float32")


def rounded(x):
    """float32 numbers that bfloat16 has."""
    return _converted("round_to_bfloat16", x, "float32") if kernels()[0] else x.astype("bfloat16").astype("float32")


def _converted(kernel: str, x, dtype: str):
    y = paddle.empty(x.shape, dtype)
    operators.call(kernel, x.contiguous(), x.size, threads(), y)
    return y
