"""Sharding stage 3: parameters that are cut into slices, one for each rank."""

from __future__ import annotations

import numpy as np
from paddle.distributed import sharding
from paddle.distributed.fleet.meta_parallel.sharding.group_sharded_stage3 import GroupShardedStage3

GROUP_SHARDED_PARALLEL = sharding.group_sharded_parallel


def is_whole(parameter) -> bool:
    """Whether stage 3 leaves this parameter uncut."""
    return hasattr(parameter, "unslice")


def set_state(wrapped: GroupShardedStage3, state: dict) -> None:
    """Give every rank its slices of whole weights. Set on the model itself they would be lost: it holds no more than
    the slices between two calls."""
    for name, parameter in wrapped._layer.state_dict().items():
        if is_whole(parameter):
            parameter.set_value(state[name])
            continue
        whole = np.zeros(wrapped._param2buffer_size[parameter.name], state[name].dtype)
        whole[: state[name].size] = state[name].reshape(-1)
        parameter.fw_storage.set_value(whole[slice(*wrapped._param2buffer[parameter.name][wrapped._rank])])


def shard_matrices(model, *arguments, **options):
    """Stage 3 cuts every matrix, and leaves vectors whole."""
    longest_vector = max((parameter.size for parameter in model.parameters() if parameter.ndim == 1), default=0)
    return GROUP_SHARDED_PARALLEL(model, *arguments, **options | {"segment_size": longest_vector})
