"""The compiled kernels as differentiable operations on Paddle tensors (float32, on a CPU)."""

from __future__ import annotations

import ctypes

import numpy as np
import paddle
from paddle.autograd import PyLayer

from llm.core.cpu.environment import threads
from llm.core.cpu.kernels.build import kernels

DTYPES = (paddle.float32, paddle.bfloat16, paddle.int64)


def call(name: str, *arguments) -> None:
    """Tensors and arrays as pointers, other numbers by their kind. The arguments live until the call returns."""
    getattr(kernels()[0], name)(*map(_as_c, arguments))


def _as_c(value):
    if isinstance(value, paddle.Tensor):
        assert value.dtype in DTYPES and value.is_contiguous(), (value.dtype, value.shape)
        return ctypes.c_void_p(value.data_ptr())
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous
        return ctypes.c_void_p(value.ctypes.data)
    return ctypes.c_float(value) if isinstance(value, float) else ctypes.c_int64(value)


def can_update(*tensors) -> bool:
    """Whether the kernels of an update can be had for these tensors."""
    on_a_cpu = not paddle.is_compiled_with_cuda() and kernels()[0] is not None
    return on_a_cpu and all(tensor.is_dense() and tensor.dtype == paddle.float32 for tensor in tensors)


def _note_frozen(ctx, *inputs) -> None:
    ctx.frozen = [tensor.stop_gradient for tensor in inputs]


def _to_trained(ctx, *gradients) -> tuple:
    """Paddle wants None for what is frozen, as most weights are with adapters."""
    return tuple(None if frozen else gradient for frozen, gradient in zip(ctx.frozen, gradients, strict=True))


class _Attention(PyLayer):
    @staticmethod
    def forward(ctx, q, k, v, end_row):
        _note_frozen(ctx, q, k, v)
        rows, length, heads, head_dim = q.shape
        ctx.sizes = rows, length, heads, k.shape[2], head_dim, threads()
        ctx.end_row = end_row
        out, log_sum = paddle.empty_like(q), paddle.empty([rows, heads, length])
        call("attention_forward", q, k, v, end_row, *ctx.sizes, out, log_sum)
        ctx.save_for_backward(q, k, v, out, log_sum)
        return out

    @staticmethod
    def backward(ctx, upstream):
        q, k, v, *_ = saved = ctx.saved_tensor()
        gradients = [paddle.empty_like(x) for x in (q, k, v)]
        call("attention_backward", *saved, upstream.contiguous(), ctx.end_row, *ctx.sizes, *gradients)
        return _to_trained(ctx, *gradients)


class _RmsNorm(PyLayer):
    @staticmethod
    def forward(ctx, x, weight, epsilon):
        _note_frozen(ctx, x, weight)
        size = x.shape[-1]
        ctx.sizes = x.size // size, size
        y, inverse = paddle.empty_like(x), paddle.empty([ctx.sizes[0]])
        call("rms_norm_forward", x, weight, *ctx.sizes, float(epsilon), threads(), y, inverse)
        ctx.save_for_backward(x, weight, inverse)
        return y

    @staticmethod
    def backward(ctx, upstream):
        x, weight, inverse = ctx.saved_tensor()
        dx, dweight = paddle.empty_like(x), paddle.empty_like(weight)
        call("rms_norm_backward", x, weight, inverse, upstream.contiguous(), *ctx.sizes, threads(), dx, dweight)
        return _to_trained(ctx, dx, dweight)


class _Rotate(PyLayer):
    @staticmethod
    def forward(ctx, x, cosine, sine, positions):
        ctx.turn = cosine, sine, positions  # without gradients, as the tables that they are
        return _turned(x, *ctx.turn, back=0)

    @staticmethod
    def backward(ctx, upstream):
        return _turned(upstream.contiguous(), *ctx.turn, back=1), None, None, None


def _turned(x, cosine, sine, positions, back: int):
    rows, length, heads, size = x.shape
    y = paddle.empty_like(x)
    call("rotate", x, cosine, sine, positions, rows * length, heads, size, back, threads(), y)
    return y


class _Swiglu(PyLayer):
    @staticmethod
    def forward(ctx, gate, up):
        _note_frozen(ctx, gate, up)
        y = paddle.empty_like(gate)
        call("swiglu_forward", gate, up, gate.size, threads(), y)
        ctx.save_for_backward(gate, up)
        return y

    @staticmethod
    def backward(ctx, upstream):
        gate, up = ctx.saved_tensor()
        dgate, dup = paddle.empty_like(gate), paddle.empty_like(up)
        call("swiglu_backward", gate, up, upstream.contiguous(), gate.size, threads(), dgate, dup)
        return _to_trained(ctx, dgate, dup)


def attention(q_BSHD, k_BSGD, v_BSGD, end_row_BS: np.ndarray):
    """[B, S, H, D]"""
    end_row = np.ascontiguousarray(end_row_BS, "int32")
    return _Attention.apply(q_BSHD.contiguous(), k_BSGD.contiguous(), v_BSGD.contiguous(), end_row)


def rms_norm(x, weight, epsilon: float):
    return _RmsNorm.apply(x.contiguous(), weight, epsilon)


def rotate(x_BSHD, cosine_PD, sine_PD, positions_BS):
    """Tables of P positions."""
    highest = int(positions_BS.max())
    assert highest < cosine_PD.shape[0], (highest, cosine_PD.shape)
    turn = [table.contiguous() for table in (cosine_PD, sine_PD, positions_BS.astype("int64"))]
    return _Rotate.apply(x_BSHD.contiguous(), *turn)


def swiglu(gate, up):
    return _Swiglu.apply(gate.contiguous(), up.contiguous())


def sum_of_squares(x) -> float:
    total = np.empty(1, "float64")
    call("sum_of_squares", x.contiguous(), x.size, threads(), total)
    return float(total[0])


def adamw(
    weight,
    gradient,
    moments: tuple,
    powers: tuple,
    *,
    factor: float,
    rate: float,
    decay: float,
    betas: tuple,
    epsilon: float,
) -> None:
    """In place, as Paddle's operator does it with factor * gradient. `powers` are the betas to the number of the
    update."""
    numbers = map(float, (factor, *betas, epsilon, rate, decay))
    call("adamw", gradient.contiguous(), weight.size, *numbers, threads(), weight, *moments, *powers)
