"""An error in a backward hook leaves the backward pass as it is, wherever the hook is."""

from __future__ import annotations

import paddle
import pytest
from paddle.autograd import PyLayer

from llm.core import patches

patches.apply_to_library()


class Copy(PyLayer):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def hooked(hook) -> paddle.Tensor:
    parameter = paddle.create_parameter([3], "float32")
    parameter._register_backward_hook(hook)
    return parameter


def failing(error: BaseException):
    def hook(*_):
        raise error

    return hook


@pytest.mark.parametrize("error", [RuntimeError("lost"), KeyboardInterrupt(), OSError(28, "No space left")], ids=repr)
@pytest.mark.parametrize("before_python", [True, False])
def test_an_error_of_a_hook_ends_the_backward_pass_as_itself(error, before_python):
    """The last hook of a pass, or one before a layer in Python, at which Paddle stumbles."""
    called = []
    x = paddle.ones([3])
    x.stop_gradient = False
    first, second = hooked(lambda *_: called.append("first")), hooked(failing(error))
    inner = Copy.apply(x * first) if before_python else x * first
    with pytest.raises(type(error)) as raised:
        (inner * second).sum().backward()
    assert raised.value is error and not called
    (x * first).sum().backward()  # the next one is not disturbed
    assert called == ["first"]
