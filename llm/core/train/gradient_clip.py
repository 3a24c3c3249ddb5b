"""One norm over all gradients of an update, however they are divided among the ranks, and clipping by it.

The library clips differently in every layout, and reports none of the norms. This one takes the gradients
where each of its optimisers hands them over, so that a run logs and clips by the same number in every layout.
"""

from __future__ import annotations

from collections.abc import Callable

import paddle
from paddle.nn.clip import ClipGradBase

from llm.core.cpu.kernels import operators


class UpdateSkipped(Exception):  # noqa: N818 (no error: the update is left out on purpose)
    """Raised while clipping, where no optimiser has changed anything yet."""


class ExactClip(ClipGradBase):
    """`copies` says how many ranks hold this very gradient, 0 for one that another rank counts; `settle` makes the
    norm over all ranks from this rank's sum of squares, and may raise UpdateSkipped. `max_norm` 0 clips nothing. With
    `scales` false the optimiser multiplies the gradients by `factor` itself, in the pass that it makes over them."""

    def __init__(self, max_norm: float, copies: Callable[[paddle.Tensor], int], settle: Callable[[float], float]):
        super().__init__()
        self.max_norm = max_norm
        self.copies = copies
        self.settle = settle
        self.scales, self.factor = True, 1.0

    @paddle.no_grad()
    def _dygraph_clip(self, params_grads):
        held = [(parameter, gradient) for parameter, gradient in params_grads if gradient is not None]
        norm = self.settle(squares_of([(g, copies) for p, g in held if (copies := self.copies(p))]))
        self.factor = self.max_norm / norm if 0 < self.max_norm < norm else 1.0
        if self.scales and self.factor != 1.0:
            for _, gradient in held:
                gradient.scale_(self.factor)
        return params_grads


def squares_of(gradients: list[tuple[paddle.Tensor, int]]) -> float:
    """The sum of the squares of these gradients, each divided by its number of copies."""
    if operators.can_update(*(gradient for gradient, _ in gradients)):
        return sum((operators.sum_of_squares(gradient) / copies for gradient, copies in gradients), 0.0)
    shares = [gradient.astype("float32").square().sum() / copies for gradient, copies in gradients]
    return float(paddle.stack(shares).sum()) if shares else 0.0
