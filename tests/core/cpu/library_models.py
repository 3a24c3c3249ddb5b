"""PaddleNLP's own models of each family, as they are before this project changes them."""

from __future__ import annotations

import importlib
import importlib.util

import pytest
from paddlenlp.transformers import LlamaConfig, MistralConfig, Qwen2Config

from llm.core.model.attention import block_attention, dense_attention, kernel_attention
from llm.core.model.families import FAMILIES
from llm.core.text.reward_tokens import RewardTokens

CONFIGS = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config}
PREFIXES = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2"}
VOCABULARY = 61
TOKENS = RewardTokens(placeholder=9, positive=12, negative=5)
families = pytest.mark.parametrize("family", sorted(CONFIGS))
attentions = pytest.mark.parametrize(
    "attend", [kernel_attention, block_attention, dense_attention], ids=["kernel", "block", "dense"]
)


def untouched(family: str):
    """A second copy of PaddleNLP's module: the first is changed for the whole process when a model is loaded."""
    name = f"paddlenlp.transformers.{family}.modeling"
    spec = importlib.util.spec_from_file_location(f"{name}_untouched", importlib.util.find_spec(name).origin)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def library_class(family: str):
    return getattr(untouched(family), FAMILIES[family].architecture)


# ---- whole models
