"""Sharding stage 2 and 3 without a GPU.

Paddle's own code does all of it on a CPU as well, and is kept from it by asserts, by a device's number that it
reads from the device's name, and by copies to a GPU. So its modules are shown a CPU with a number ("cpu:0").
"""

from __future__ import annotations

from functools import partial
from types import ModuleType

import paddle
from paddle.base import core
from paddle.distributed.fleet.meta_parallel.sharding import (
    group_sharded_optimizer_stage2,
    group_sharded_stage3,
    group_sharded_storage,
    group_sharded_utils,
)
from paddle.distributed.sharding import group_sharded

ADD_RANK_PARAMS = group_sharded_storage.ParamStorage.add_rank_params


def install() -> None:
    _pass_checks()
    _stay_on_the_cpu()


def _pass_checks() -> None:
    """The asserts that the device is a GPU or a custom one; the number in "cpu:0" is for the optimiser and clipping."""
    custom = _seen(paddle.device, get_all_custom_device_type=lambda: ["cpu"])
    group_sharded.paddle = _seen(paddle, device=custom)
    for module in (group_sharded_optimizer_stage2, group_sharded_stage3):
        module.paddle = _seen(paddle, get_device=_numbered_cpu)
        module.core = _seen(core, is_compiled_with_cuda=lambda: True)


def _stay_on_the_cpu() -> None:
    """Clipping moves the norm to a GPU when the device is called "cpu", and device_guard goes back to a device by its
    name; the storage of parameters copies itself to a GPU."""
    device = _seen(paddle.device, get_device=_numbered_cpu)
    group_sharded_utils.paddle = _seen(paddle, device=device, set_device=lambda name: None)
    group_sharded_storage.ParamStorage.add_rank_params = _add_rank_params
    group_sharded_stage3._device2cpu = _copied


def _add_rank_params(storage, parameters, alignments, convert_gpu: bool = True):
    return ADD_RANK_PARAMS(storage, parameters, alignments, convert_gpu=False)


def _copied(parameter, convert_dtype: bool = False):
    """Of a whole parameter, for a checkpoint: on a CPU the original would be cleared and the copy with it."""
    return (parameter.cast("float32") if convert_dtype else parameter).clone()


def _numbered_cpu() -> str:
    return "cpu:0"


def _seen(module: ModuleType, **different) -> ModuleType:
    """The module with some of its names standing for something else."""
    view = ModuleType(module.__name__)
    vars(view).update(different, __getattr__=partial(getattr, module))
    return view
