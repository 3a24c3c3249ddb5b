"""The model families: what the code of each of them has, and what each does differently.

A new family is an entry here and its code in attention.py, or in a package of its own where PaddleNLP 3.0.0b4 lacks it.
That code is imported only when a class is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

GRANULARITIES = ("full", "full_attn", "core_attn")  # of recompute: whole layers, attention, the scores in it


@dataclass(frozen=True)
class Family:
    model_type: str  # in config.json; PaddleNLP's names of weights begin with it, too
    name: str  # its classes begin with it
    defaults: dict  # what its configuration assumes where config.json lacks a size
    package: str = "paddlenlp.transformers.{model_type}"  # of its classes
    has_pipeline: bool = True
    has_sequence_parallel: bool = True
    recomputes_parts: bool = True  # whether recompute can be of less than a layer
    can_tie_head: bool = True
    biased: tuple[str, ...] = ()  # projections with a bias
    norms_heads: bool = False  # whether the heads of queries and keys have norms; their width is a size of its own then
    window_counts: bool = False  # whether sliding_window limits what a token attends to
    rope_scalings: tuple[str, ...] = ()
    mask_argument: str = "attn_mask_startend_row_indices"  # of the model's forward, for end_row
    float32_inputs_of_norm: int = 2  # how often a norm keeps its input in float32 where that comes in bfloat16
    tensors_of_mlp: int = 3  # as wide as the intermediate size that an MLP keeps: gate, up, their product

    @property
    def architecture(self) -> str:
        return f"{self.name}ForCausalLM"

    def causal_lm(self) -> type[Any]:
        return self._class_of("modeling", self.architecture)

    def causal_lm_in_stages(self) -> type[Any]:
        return self._class_of("modeling_pp", f"{self.architecture}Pipe")

    def head_in_stages(self) -> type[Any]:
        return self._class_of("modeling_pp", f"{self.name}LMHeadPipe")

    def _class_of(self, module: str, name: str) -> type[Any]:
        return getattr(import_module(f"{self.package.format(model_type=self.model_type)}.{module}"), name)


FAMILIES = {
    family.model_type: family
    for family in (
        Family(
            "llama",
            "Llama",
            {"num_key_value_heads": None, "max_position_embeddings": 2048},
            rope_scalings=("llama3",),
        ),
        Family(
            "mistral",
            "Mistral",
            {"num_key_value_heads": 8, "max_position_embeddings": 131072, "sliding_window": 4096},
            has_pipeline=False,
            has_sequence_parallel=False,
            recomputes_parts=False,
            can_tie_head=False,
            window_counts=True,
            mask_argument="attention_mask",
            float32_inputs_of_norm=1,
            tensors_of_mlp=4,  # and the activation of gate
        ),
        Family(
            "qwen2",
            "Qwen2",
            {"num_key_value_heads": 32, "max_position_embeddings": 32768},
            biased=("q_proj", "k_proj", "v_proj"),
        ),
        Family(
            "qwen3",
            "Qwen3",
            {"num_key_value_heads": 32, "max_position_embeddings": 32768, "head_dim": 128},
            package="llm.core.model.qwen3",
            norms_heads=True,
        ),
    )
}


def family_of(config: Any) -> Family:
    """Of a configuration, or of anything with its model_type."""
    return FAMILIES[config.model_type]
