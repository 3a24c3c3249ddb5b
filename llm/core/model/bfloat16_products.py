"""`bf16` with O1 on a CPU: float32 weights and activations, and the products of every layer in bfloat16."""

from __future__ import annotations

from functools import partial

from paddle import nn
from paddlenlp.peft.lora.lora_layers import LoRALinear

from llm.core.cpu.bfloat16 import choice
from llm.core.cpu.bfloat16.products import Multiplier
from llm.core.model.shapes import PROJECTIONS

PLACE = "bfloat16_products"  # of the multiplier, in the model


def multiply_in_bfloat16(model) -> None:
    """The projections of attention and MLP, from now on. Embedding, norms, attention, adapters and head stay in
    float32."""
    name_of_way, _ = choice.choose()
    multiply = model.__dict__[PLACE] = Multiplier(choice.WAYS[name_of_way]())
    for name, layer in model.named_sublayers():
        if name.rpartition(".")[2] in PROJECTIONS:
            layer.__dict__["forward"] = partial(_FORWARDS[type(layer)], multiply, layer)  # as in widen.py


def note_new_weights(model) -> None:
    if multiply := model.__dict__.get(PLACE):
        multiply.forget()


def _linear(multiply: Multiplier, layer, x):
    y = multiply(x, layer.weight)
    return y if layer.bias is None else y + layer.bias


def _lora_linear(multiply: Multiplier, layer, x):
    y = _linear(multiply, layer, x)
    return y if layer.disable_lora else y + (x @ layer.lora_A @ layer.lora_B) * layer.scaling


_FORWARDS = {nn.Linear: _linear, LoRALinear: _lora_linear}
