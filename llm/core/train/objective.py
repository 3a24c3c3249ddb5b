"""What a task brings to the trainer: a loss, statistics for the log, and what an evaluation measures."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import paddle

Batch = dict[str, paddle.Tensor]


class Objective(Protocol):
    statistics: tuple[str, ...]  # names of what `loss_and_statistics` sums up

    def outputs(self, model: Any, batch: Batch) -> paddle.Tensor:
        """What the model makes of a batch."""

    def outputs_of_hidden(self, model: Any, hidden: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        """The same in the last stage of a pipeline, from its hidden states."""

    def loss_and_statistics(self, outputs: paddle.Tensor, batch: Batch) -> tuple[paddle.Tensor, Batch]:
        """(summed loss, {name: sum})"""

    def training_metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Ratios of the statistics, for a line of the log."""

    def columns(self, outputs: paddle.Tensor, batch: Batch) -> list[np.ndarray]:
        """Of everything that an evaluation judges: its loss first, then what `metrics` needs."""

    def metrics(self, *columns: np.ndarray) -> dict[str, Any]:
        """Of the columns of all batches and ranks, without the loss."""
