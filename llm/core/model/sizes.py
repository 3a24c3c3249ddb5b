"""A model's sizes, from its config.json or by name. No paddle here."""

from __future__ import annotations

from dataclasses import dataclass, fields

from llm.core.model.supported import problem_of_architecture, problems_of_settings, with_rope_settings

HEAD = "lm_head.weight"
FAMILIES = ("llama", "mistral", "qwen2")
# What PaddleNLP takes for a member that config.json lacks.
DEFAULTS = {
    "llama": {"num_key_value_heads": None, "max_position_embeddings": 2048},
    "mistral": {"num_key_value_heads": 8, "max_position_embeddings": 131072, "sliding_window": 4096},
    "qwen2": {"num_key_value_heads": 32, "max_position_embeddings": 32768},
}


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
    is_first: bool = True  # false of a stage of a pipeline that lacks the embedding
    is_last: bool = True  # false of one that lacks the last norm and the head

    @property
    def tied(self) -> bool:
        """Whether embedding and head are one matrix; PaddleNLP's Mistral never makes them one."""
        return self.tie_word_embeddings and self.model_type != "mistral"

    @property
    def longest_solution(self) -> int:
        """Tokens that a single solution may have: the model's positions, and Mistral's window, which the mask here does
        not cut."""
        window = self.sliding_window if self.model_type == "mistral" else None
        return min(self.max_position_embeddings, window or self.max_position_embeddings)

    @property
    def key_value_size(self) -> int:
        return self.hidden_size // self.num_attention_heads * self.num_key_value_heads


# The models of llm/config and their larger sisters, whose folders need not be at hand.
KNOWN = {
    "meta-llama/Meta-Llama-3.1-8B": Sizes("llama", 128256, 4096, 14336, 32, 32, 8, False, 131072),
    "mistralai/Mistral-7B-v0.1": Sizes("mistral", 32000, 4096, 14336, 32, 32, 8, False, 32768, 4096),
    "Qwen/Qwen2.5-Math-7B-Instruct": Sizes("qwen2", 152064, 3584, 18944, 28, 28, 4, False, 4096),
    "meta-llama/Meta-Llama-3.1-70B": Sizes("llama", 128256, 8192, 28672, 80, 64, 8, False, 131072),
    "Qwen/Qwen2.5-Math-72B-Instruct": Sizes("qwen2", 152064, 8192, 29568, 80, 64, 8, False, 4096),
}


def sizes_of(config: dict, where: str) -> Sizes:
    """From the members of a config.json; ValueError for what training would refuse, too."""
    config = with_rope_settings(config)
    problem = problem_of_architecture(config)
    if problems := [problem] if problem else problems_of_settings(config):
        raise ValueError(f"{where}: {'; '.join(problems)}")
    known = {"tie_word_embeddings": False, **DEFAULTS[config["model_type"]], **config}
    values = {field.name: known[field.name] for field in fields(Sizes) if field.name in known}
    values["num_key_value_heads"] = values["num_key_value_heads"] or values["num_attention_heads"]
    return Sizes(**values)
