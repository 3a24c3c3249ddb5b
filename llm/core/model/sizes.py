"""A model's sizes, from its config.json or by name. No paddle here."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from llm.core.model.families import FAMILIES
from llm.core.model.head.head_kinds import LM
from llm.core.model.supported import check


@dataclass(frozen=True)
class Sizes:
    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    tie_word_embeddings: bool
    max_position_embeddings: int
    sliding_window: int | None = None
    head_dim: int | None = None  # of a head, in a family where this is a size of its own
    spare_rows: int = 0  # known rows of the embedding that no token of its tokenizer has
    is_first: bool = True  # false of a stage of a pipeline that lacks the embedding
    is_last: bool = True  # false of one that lacks the last norm and the head
    reward_head: str = LM

    @property
    def longest_solution(self) -> int:
        """Tokens that a single solution may have: the model's positions, and a sliding window, since the mask
        here does not cut solutions to it."""
        window = self.sliding_window if FAMILIES[self.model_type].window_counts else None
        return min(self.max_position_embeddings, window or self.max_position_embeddings)


def with_head(sizes: Sizes, reward_head: str) -> Sizes:
    """Of the same backbone with another head. One of its own takes the place of the LM head, so nothing is tied."""
    tied = sizes.tie_word_embeddings and reward_head == LM
    return replace(sizes, reward_head=reward_head, tie_word_embeddings=tied)


# The models of llm/config and their larger sisters, whose folders need not be present.
KNOWN = {
    "meta-llama/Meta-Llama-3.1-8B": Sizes("llama", 128256, 4096, 14336, 32, 32, 8, False, 131072),
    "mistralai/Mistral-7B-v0.1": Sizes("mistral", 32000, 4096, 14336, 32, 32, 8, False, 32768, 4096),
    "Qwen/Qwen2.5-Math-7B-Instruct": Sizes("qwen2", 152064, 3584, 18944, 28, 28, 4, False, 4096, spare_rows=399),
    "Qwen/Qwen3-8B": Sizes("qwen3", 151936, 4096, 12288, 36, 32, 8, False, 40960, head_dim=128, spare_rows=267),
    "meta-llama/Meta-Llama-3.1-70B": Sizes("llama", 128256, 8192, 28672, 80, 64, 8, False, 131072),
    "Qwen/Qwen2.5-Math-72B-Instruct": Sizes("qwen2", 152064, 8192, 29568, 80, 64, 8, False, 4096, spare_rows=399),
    "Qwen/Qwen3-32B": Sizes("qwen3", 151936, 5120, 25600, 64, 64, 8, False, 40960, head_dim=128, spare_rows=267),
}


def sizes_of(config: dict, where: str) -> Sizes:
    """From the members of a config.json; ValueError where training would refuse it."""
    config = check(config, where)
    known = {"tie_word_embeddings": False, **FAMILIES[config["model_type"]].defaults, **config}
    values = {field.name: known[field.name] for field in fields(Sizes) if field.name in known}
    if not FAMILIES[config["model_type"]].norms_heads:
        values["head_dim"] = None  # which can only be written as what it is anyway
    return Sizes(**values | {"num_key_value_heads": values["num_key_value_heads"] or values["num_attention_heads"]})
