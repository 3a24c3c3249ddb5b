"""One norm over all gradients of an update, however they are divided among the ranks, and clipping by it.

The library clips differently in every layout, and reports none of the norms. This one takes the gradients
where each of its optimisers hands them over, so that a run logs and clips by the same number in every layout.
"""

from __future__ import annotations

from collections.abc import Callable

import paddle
from paddle.nn.clip import ClipGradBase


class UpdateSkipped(Exception):  # noqa: N818 (no error: the update is left out on purpose)
    """Raised while clipping, where no optimiser has changed anything yet."""


class ExactClip(ClipGradBase):
    """`copies` says how many ranks hold this very gradient, 0 for one that another rank counts; `settle` makes the
    norm over all ranks from this rank's sum of squares, and may raise UpdateSkipped. `max_norm` 0 clips nothing."""

    def __init__(self, max_norm: float, copies: Callable[[paddle.Tensor], int], settle: Callable[[float], float]):
        super().__init__()
        self.max_norm = max_norm
        self.copies = copies
        self.settle = settle

    @paddle.no_grad()
    def _dygraph_clip(self, params_grads):
        held = [(parameter, gradient) for parameter, gradient in params_grads if gradient is not None]
        shares = [g.astype("float32").square().sum() / self.copies(p) for p, g in held if self.copies(p)]
        norm = self.settle(float(paddle.stack(shares).sum()) if shares else 0.0)
        if 0 < self.max_norm < norm:
            for _, gradient in held:
                gradient.scale_(self.max_norm / norm)
        return params_grads
