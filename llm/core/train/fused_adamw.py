"""AdamW in one pass over memory, for float32 weights on a CPU.

Paddle's operator runs after clipping has read and written every gradient. Here the pass that updates a weight clips its
gradient, too. Numbers, names of the optimiser's state and checkpoints are Paddle's.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from paddle.optimizer import AdamW, Optimizer

from llm.core.cpu.kernels import operators
from llm.core.train.gradient_clip import ExactClip


def fuse(optimizer: Optimizer, clip: ExactClip) -> None:
    """Clipping and updating, if the optimiser is Paddle's AdamW. Weights that the kernel is not for are clipped by it
    and updated by Paddle's operator."""
    optimizer._grad_clip = clip
    if type(optimizer) is AdamW:
        clip.scales = False
        optimizer._append_optimize_op = partial(_update, optimizer, clip)


def _update(optimizer: AdamW, clip: ExactClip, block: Any, parameter_and_gradient: tuple) -> None:
    """In the place of AdamW's method of that name."""
    parameter, gradient = parameter_and_gradient
    if not operators.can_update(parameter, gradient):
        if clip.factor != 1.0:
            gradient.scale_(clip.factor)
        AdamW._append_optimize_op(optimizer, block, parameter_and_gradient)
        return
    moments, powers = (
        tuple(optimizer._get_accumulator_master(name, parameter) for name in names)
        for names in (
            (optimizer._moment1_acc_str, optimizer._moment2_acc_str),
            (optimizer._beta1_pow_acc_str, optimizer._beta2_pow_acc_str),
        )
    )
    decays = optimizer._apply_decay_param_fun
    operators.adamw(
        parameter,
        gradient,
        moments,
        powers,
        factor=clip.factor,
        rate=float(optimizer._create_param_lr(parameter_and_gradient)),
        decay=optimizer._weight_decay if decays is None or decays(parameter.name) else 0.0,
        betas=(optimizer._beta1, optimizer._beta2),
        epsilon=optimizer._epsilon,
    )
