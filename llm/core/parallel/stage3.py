"""Sharding stage 3: parameters that are cut into slices, one for each rank."""

from __future__ import annotations

from typing import Any

import paddle
from paddle.distributed import sharding
from paddle.distributed.fleet.meta_parallel.sharding.group_sharded_stage3 import GroupShardedStage3

GROUP_SHARDED_PARALLEL = sharding.group_sharded_parallel


def is_whole(parameter: Any) -> bool:
    """Whether stage 3 leaves this parameter uncut."""
    return hasattr(parameter, "unslice")


def held(parameter: Any) -> Any:
    """What a rank has of a parameter between two calls of its layer."""
    return parameter if is_whole(parameter) else parameter.fw_storage


def share_of_rank(wrapped: GroupShardedStage3, parameter, tensor: paddle.Tensor) -> paddle.Tensor:
    """What this rank has of a whole tensor: all of it, or a slice of it filled up with zeros."""
    if is_whole(parameter):
        return tensor
    flat = tensor.reshape([-1])
    rest = wrapped._param2buffer_size[parameter.name] - flat.shape[0]
    padded = paddle.concat([flat, paddle.zeros([rest], flat.dtype)]) if rest else flat
    start, end = wrapped._param2buffer[parameter.name][wrapped._rank]
    return padded[start:end].clone()


def set_state(wrapped: GroupShardedStage3, state: dict) -> None:
    """Give every rank its slices of whole weights. Set on the model itself they would be lost: it holds no more than
    the slices between two calls."""
    for name, parameter in wrapped._layer.state_dict().items():
        held(parameter).set_value(share_of_rank(wrapped, parameter, paddle.to_tensor(state[name])))


def shard_matrices(model, *arguments, **options):
    """Stage 3 cuts every matrix, and leaves vectors whole."""
    longest_vector = max((parameter.size for parameter in model.parameters() if parameter.ndim == 1), default=0)
    return GROUP_SHARDED_PARALLEL(model, *arguments, **options | {"segment_size": longest_vector})
