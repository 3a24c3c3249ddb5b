"""Errors of backward hooks, in which Paddle's wrappers reduce gradients over the ranks.

Paddle's C++ code does not look whether a hook has failed. It goes on and stumbles later over something else ("Get
backward function failed"), and nobody learns what happened. Here the hook's own error ends the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable

import paddle
from paddle.base import core

REGISTER = paddle.Tensor._register_backward_hook
RUN_BACKWARD = core.eager.run_backward
FAILED: list[BaseException] = []  # what a hook raised in this backward pass; the other hooks are then not called


def register_backward_hook(tensor: paddle.Tensor, hook: Callable) -> object:
    def call(*arguments):
        if FAILED:
            return None
        try:
            return hook(*arguments)
        except BaseException as error:
            FAILED.append(error)

    return REGISTER(tensor, call)


def run_backward(*arguments, **options) -> None:
    try:
        RUN_BACKWARD(*arguments, **options)
    finally:
        if FAILED:
            raise FAILED.pop() from None
