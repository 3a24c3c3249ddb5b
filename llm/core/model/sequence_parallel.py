"""Sequence parallelism: between the matrices of tensor parallelism every rank has some of the tokens."""

from __future__ import annotations

from paddle.distributed.fleet.utils.sequence_parallel_utils import GatherOp


def set_row_length(model, length: int) -> None:
    """PaddleNLP's layers cannot know how tokens are divided into rows, so it is set here."""
    if model.config.sequence_parallel:
        for layer in model.sublayers():
            if hasattr(layer, "seq_length"):
                layer.seq_length = length


def gather(model, hidden):
    """The tokens of all ranks, [B * S, E]; without sequence parallelism `hidden` as it is. The gradient of each rank is
    that of its own tokens, because all ranks compute the same from here on."""
    return GatherOp.apply(hidden) if model.config.sequence_parallel else hidden
