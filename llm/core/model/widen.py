"""Weights in bfloat16 on a CPU: held in 16 bits, so that a model takes half the memory, and computed with in float32.

Each matrix is widened when it is used, one at a time: the same scores as of a float32 model with these weights. What
is small (norms, biases, adapters) is widened once.
"""

from __future__ import annotations

import types

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddlenlp.peft.lora.lora_layers import LoRALinear


def compute_in_float32(model) -> None:
    head = getattr(model, "lm_head", None)
    matrices = {head.weight.name} if head is not None else set()  # of which only two rows are read
    for layer in model.sublayers(include_self=True):
        for kind, forward in _FORWARDS.items():
            if type(layer) is kind:
                layer.__dict__["forward"] = types.MethodType(forward, layer)  # past PaddleNLP's guard of signatures
                matrices.add(layer.weight.name)
    for layer in model.sublayers(include_self=True):
        for name, parameter in list(layer._parameters.items()):
            if parameter is not None and parameter.name not in matrices:
                layer._parameters[name] = _widened(parameter)


def _linear(layer, x):
    return F.linear(x, layer.weight.astype(x.dtype), layer.bias)


def _embedding(layer, ids):
    return F.embedding(ids, layer.weight).astype("float32")


def _lora_linear(layer, x):
    return _linear(layer, x) + (x @ layer.lora_A @ layer.lora_B) * layer.scaling


_FORWARDS = {nn.Linear: _linear, nn.Embedding: _embedding, LoRALinear: _lora_linear}


def _widened(parameter):
    wide = paddle.create_parameter(parameter.shape, "float32", default_initializer=nn.initializer.Constant())
    wide.set_value(parameter.astype("float32"))
    return wide
