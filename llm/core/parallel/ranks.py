"""What the ranks of a run tell each other."""

from __future__ import annotations

import paddle.distributed as dist


def from_all_ranks(value) -> list:
    if dist.get_world_size() == 1:
        return [value]
    everyone: list = []
    dist.all_gather_object(everyone, value)
    return everyone
