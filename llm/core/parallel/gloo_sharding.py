"""Sharding stage 2 and 3 without a GPU.

Paddle's own code does all of it on a CPU as well, but for asserts, a device number that it reads from the device's
name, and copies to a GPU. So its modules see a CPU with a number ("cpu:0").
"""

from __future__ import annotations

from functools import partial
from types import ModuleType

from paddle.distributed.fleet.meta_parallel.sharding import (
    group_sharded_storage,
)

ADD_RANK_PARAMS = group_sharded_storage.ParamStorage.add_rank_params


def add_rank_params(storage, parameters, alignments, convert_gpu: bool = True):
    return ADD_RANK_PARAMS(storage, parameters, alignments, convert_gpu=False)


def copied(parameter, convert_dtype: bool = False):
    """Of a whole parameter, for a checkpoint: on a CPU the original would be cleared and the copy with it."""
    return (parameter.cast("float32") if convert_dtype else parameter).clone()


def numbered_cpu() -> str:
    return "cpu:0"


def seen(module: ModuleType, **different) -> ModuleType:
    """The module with some of its names standing for something else."""
    view = ModuleType(module.__name__)
    vars(view).update(different, __getattr__=partial(getattr, module))
    return view
