"""Sharding stage 3: parameters that are cut into slices, one for each rank."""

from __future__ import annotations

import contextlib
from functools import partial

from paddle.distributed import sharding


def is_whole(parameter) -> bool:
    """Whether stage 3 leaves this parameter uncut."""
    return hasattr(parameter, "unslice")


@contextlib.contextmanager
def sliced(model):
    """Inside, stage 3 cuts every matrix, and leaves vectors whole. Paddle's own limit of a million elements would leave
    the smaller matrices of a model on every rank."""
    longest_vector = max((parameter.size for parameter in model.parameters() if parameter.ndim == 1), default=0)
    original = sharding.group_sharded_parallel
    sharding.group_sharded_parallel = partial(original, segment_size=longest_vector)
    try:
        yield
    finally:
        sharding.group_sharded_parallel = original
