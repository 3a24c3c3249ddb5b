"""Products of matrices whose numbers are rounded to bfloat16, with sums in float32: forward and both gradients.

Either oneDNN makes them, or the matrix library in float32, which is exact for each pair of rounded numbers: the ways
differ in speed and in the order of the sums. Shapes: x [M, K], weight [K, N].
"""

from __future__ import annotations

from typing import Any, Protocol

import paddle
from paddle.autograd import PyLayer

from llm.core.cpu.bfloat16 import onednn
from llm.core.cpu.bfloat16.onednn import Packed
from llm.core.cpu.bfloat16.rounding import rounded, to_bfloat16, to_float32


class Way(Protocol):
    def narrow(self, x: Any) -> Any:
        """As a product takes it, and as it is kept for gradients."""

    def forward(self, x_MK: Any, weight: Any) -> Any: ...

    def gradient_of_x(self, gradient_MN: Any, weight: Any) -> Any: ...

    def gradient_of_weight(self, x_MK: Any, gradient_MN: Any) -> Any: ...

    def forget(self) -> None:
        """What is kept of the weights: they have changed."""


class InFloat32:
    """By the matrix library. Nothing is kept: rounding a weight again takes as long as widening what was kept."""

    def narrow(self, x):
        return to_bfloat16(x)

    def forward(self, x_MK, weight):
        return paddle.matmul(to_float32(x_MK), rounded(weight))

    def gradient_of_x(self, gradient_MN, weight):
        return paddle.matmul(to_float32(gradient_MN), rounded(weight), transpose_y=True)

    def gradient_of_weight(self, x_MK, gradient_MN):
        return paddle.matmul(to_float32(x_MK), to_float32(gradient_MN), transpose_x=True)

    def forget(self) -> None:
        pass


class ByOneDnn:
    """In the numbers that `narrow` gives. A weight is rounded and packed once for all micro-batches of an update."""

    def __init__(self) -> None:
        self.packed: dict[tuple[str, bool], Packed] = {}  # by name and whether for the gradient of x

    def narrow(self, x):
        return to_bfloat16(x)

    def forward(self, x_MK, weight):
        return self._by_weight(x_MK, weight, is_turned=False)

    def gradient_of_x(self, gradient_MN, weight):
        return self._by_weight(gradient_MN, weight, is_turned=True)

    def gradient_of_weight(self, x_MK, gradient_MN):
        (rows, depth), columns = x_MK.shape, gradient_MN.shape[1]
        out_KN = paddle.empty([depth, columns])
        onednn.product(depth, rows, columns, x_MK.dtype, is_left_turned=True)(x_MK, gradient_MN, out_KN)
        return out_KN

    def forget(self) -> None:
        self.packed.clear()

    def _by_weight(self, left, weight, is_turned: bool):
        rows, depth = left.shape
        columns = weight.shape[0 if is_turned else 1]
        product = onednn.product(rows, depth, columns, left.dtype, is_right_packed=True)
        packed = self.packed.get((weight.name, is_turned))
        if packed is None or not product.reads(packed):
            packed = self.packed[weight.name, is_turned] = product.pack(self.narrow(weight), is_turned)
        out = paddle.empty([rows, columns])
        product(left, packed, out)
        return out


class Multiplier:
    """x @ weight for the layers of a model, in one of the ways."""

    def __init__(self, way: Way):
        self.way = way
        self._last = None  # (x, its version, narrow): several layers multiply the same x

    def __call__(self, x, weight):
        return _Product.apply(x, self._narrow(x), weight, self.way).reshape([*x.shape[:-1], -1])

    def _narrow(self, x):
        if self._last is None or self._last[0] is not x or self._last[1] != x.inplace_version:
            self._last = x, x.inplace_version, self.way.narrow(x.detach().reshape([-1, x.shape[-1]]))
        return self._last[2]

    def forget(self) -> None:
        self.way.forget()
        self._last = None


class _Product(PyLayer):
    @staticmethod
    def forward(ctx, x, narrow_MK, weight, way):
        ctx.way, ctx.shape = way, x.shape
        ctx.trains = not x.stop_gradient, not weight.stop_gradient
        ctx.save_for_backward(narrow_MK, weight)
        return way.forward(narrow_MK, weight)

    @staticmethod
    def backward(ctx, gradient_MN):
        narrow_MK, weight = ctx.saved_tensor()
        x_trains, weight_trains = ctx.trains
        gradient_MN = ctx.way.narrow(gradient_MN.contiguous())
        of_x = ctx.way.gradient_of_x(gradient_MN, weight).reshape(ctx.shape) if x_trains else None
        of_weight = ctx.way.gradient_of_weight(narrow_MK, gradient_MN) if weight_trains else None
        return of_x, None, of_weight
