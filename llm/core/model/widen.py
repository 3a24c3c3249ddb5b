"""Weights in bfloat16 on a CPU: held in 16 bits, so that a model takes half the memory, and computed with in float32.

Each matrix is widened when it is used, one at a time, and in the backward pass again: the same numbers as those of a
float32 model with these weights. What is small (norms, biases) or trains (adapters, a head) is widened once.
"""

from __future__ import annotations

import types

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.autograd import PyLayer
from paddlenlp.peft.lora.lora_layers import LoRALinear


class WidenedProduct(PyLayer):
    """x @ W of a frozen W. Nothing of the wide W is kept, nor x, which only the gradient of W would need."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(weight)
        return paddle.matmul(x, weight.astype(x.dtype))

    @staticmethod
    def backward(ctx, gradient):
        (weight,) = ctx.saved_tensor()
        return paddle.matmul(gradient, weight.astype(gradient.dtype), transpose_y=True), None


def compute_in_float32(model, whole_head: bool = False) -> None:
    """Of the frozen matrices. Of the LM head only two rows are read, so it stays as it is, unless the `whole_head` is
    asked for."""
    head = getattr(model, "lm_head", None)
    of_head = head.weight.name if head is not None else None
    kept = set() if whole_head else {of_head}
    for layer in model.sublayers(include_self=True):
        forward = _FORWARDS.get(type(layer))
        if forward and layer.weight.stop_gradient and not (whole_head and layer.weight.name == of_head):
            if "forward" not in layer.__dict__:  # else it has a row of its own for the placeholder
                layer.__dict__["forward"] = types.MethodType(forward, layer)  # past PaddleNLP's guard of signatures
            kept.add(layer.weight.name)
    wide: dict = {}  # by name: an embedding and a head may be one matrix
    for layer in model.sublayers(include_self=True):
        for name, parameter in list(layer._parameters.items()):
            if parameter is not None and parameter.name not in kept and parameter.dtype != paddle.float32:
                wide[parameter.name] = wide.get(parameter.name) or _widened(parameter)
                layer._parameters[name] = wide[parameter.name]


def freeze(model) -> None:
    for parameter in model.parameters():
        parameter.stop_gradient = True


def _linear(layer, x):
    y = WidenedProduct.apply(x, layer.weight)
    return y if layer.bias is None else y + layer.bias


def _embedding(layer, ids):
    return F.embedding(ids, layer.weight).astype("float32")


def _lora_linear(layer, x):
    y = _linear(layer, x)
    return y if layer.disable_lora else y + (x @ layer.lora_A @ layer.lora_B) * layer.scaling


_FORWARDS = {nn.Linear: _linear, nn.Embedding: _embedding, LoRALinear: _lora_linear}


def _widened(parameter):
    wide = paddle.create_parameter(parameter.shape, "float32", default_initializer=nn.initializer.Constant())
    wide.set_value(parameter.astype("float32"))
    wide.stop_gradient = parameter.stop_gradient
    return wide
