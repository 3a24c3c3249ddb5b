"""Names and shapes of a model's weights, as PaddleNLP has them: matrices lie [in, out], tables [V, E]. No paddle here.

`config` is a configuration or anything with its sizes. Legend: E hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from llm.core.model.families import family_of
from llm.core.model.head.head_kinds import kind_of

ATTENTION, MLP = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
PROJECTIONS = ATTENTION + MLP
# Tensor parallelism divides the inputs of the first and the outputs of the others
ROW_PARALLEL, COLUMN_PARALLEL = ("o_proj", "down_proj"), ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
EMBEDDING, NORM, HEAD = "embed_tokens.weight", "norm.weight", "lm_head.weight"


def head_width(config: Any) -> int:
    """Features of a head."""
    if family_of(config).norms_heads:
        return config.head_dim
    return config.hidden_size // config.num_attention_heads


def projections(config: Any) -> dict[str, tuple[int, int]]:
    """{name of a matrix of every layer: (inputs, outputs)}"""
    hidden, inner = config.hidden_size, config.intermediate_size
    heads = head_width(config) * config.num_attention_heads
    grouped = head_width(config) * config.num_key_value_heads
    return {
        "q_proj": (hidden, heads),
        "k_proj": (hidden, grouped),
        "v_proj": (hidden, grouped),
        "o_proj": (heads, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }


def of_layer(config: Any) -> dict[str, list[int]]:
    """Of every layer, in the model's order."""
    family, found = family_of(config), {}
    for name, (inputs, outputs) in projections(config).items():
        path = f"{'self_attn' if name in ATTENTION else 'mlp'}.{name}"
        found[f"{path}.weight"] = [inputs, outputs]
        if name in family.biased:
            found[f"{path}.bias"] = [outputs]
    if family.norms_heads:
        found |= {f"self_attn.{name}_norm.weight": [head_width(config)] for name in "qk"}
    norms = ("input_layernorm.weight", "post_attention_layernorm.weight")
    return found | {name: [config.hidden_size] for name in norms}


def of_ends(config: Any) -> dict[str, list[int]]:
    """Of what comes before the layers and after them, without the head."""
    return {EMBEDDING: [config.vocab_size, config.hidden_size], NORM: [config.hidden_size]}


def of_head(config: Any) -> dict[str, list[int]]:
    """A tied LM head is the embedding itself."""
    if kind := kind_of(config):
        return kind.shapes(config.hidden_size)
    table = [config.vocab_size, config.hidden_size]
    return {HEAD: table if config.tie_word_embeddings else table[::-1]}


def of_model(config: Any) -> dict[str, list[int]]:
    """Of every parameter of PaddleNLP's model, whole, however many ranks share it."""
    family, layer = config.model_type, of_layer(config)
    found = {f"{family}.{name}": shape for name, shape in of_ends(config).items()}
    for number in range(config.num_hidden_layers):
        found |= {f"{family}.layers.{number}.{name}": shape for name, shape in layer.items()}
    return found | of_head(config)


def of_adapters(config: Any, rank: int, targets: Collection[str]) -> dict[str, list[int]]:
    """Of what LoRA adds to these projections."""
    found: dict[str, list[int]] = {}
    for number in range(config.num_hidden_layers):
        for name, (inputs, outputs) in projections(config).items():
            if name in targets:
                path = f"{config.model_type}.layers.{number}.{'self_attn' if name in ATTENTION else 'mlp'}.{name}"
                found |= {f"{path}.lora_A": [inputs, rank], f"{path}.lora_B": [rank, outputs]}
    return found
