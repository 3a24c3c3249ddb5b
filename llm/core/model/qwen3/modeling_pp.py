"""Qwen3 in stages: those of PaddleNLP's Qwen2 with Qwen3's layers."""

from __future__ import annotations

from paddlenlp.transformers.qwen2.modeling_pp import Qwen2DecoderLayerPipe, Qwen2ForCausalLMPipe
from paddlenlp.transformers.qwen2.modeling_pp import Qwen2LMHeadPipe as Qwen3LMHeadPipe

from llm.core.model.qwen3.configuration import Qwen3Config
from llm.core.model.qwen3.modeling import Qwen3DecoderLayer

__all__ = ["Qwen3ForCausalLMPipe", "Qwen3LMHeadPipe"]


class Qwen3DecoderLayerPipe(Qwen2DecoderLayerPipe, Qwen3DecoderLayer):
    """Passes end_row and positions on as Qwen2's does, and computes as Qwen3's."""


# Qwen2's code finds by this name what it divides among the stages
Qwen3DecoderLayerPipe.__name__ = Qwen2DecoderLayerPipe.__name__


class Qwen3ForCausalLMPipe(Qwen2ForCausalLMPipe):
    config_class = Qwen3Config

    def add_sequential_layer(self, layer_desc, name_prefix=""):
        if layer_desc.layer_func is Qwen2DecoderLayerPipe:
            layer_desc.layer_func = Qwen3DecoderLayerPipe
        super().add_sequential_layer(layer_desc, name_prefix.replace("qwen2", "qwen3"))
