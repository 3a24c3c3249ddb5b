"""Sizes of a model, from its config.json or by name, and the tensors that it is made of. No paddle here."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

from llm.core.model.supported import problem_of_architecture, problems_of_settings, with_rope_settings

FAMILIES = ("llama", "mistral", "qwen2")
REQUIRED = "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads".split()
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


def read_sizes(config: Path) -> Sizes:
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no object of settings")
        content = with_rope_settings(content)
    except (OSError, ValueError) as error:
        raise ValueError(f"model_name_or_path: {config} cannot be read ({error}). Copy the folder again.") from error
    problem = problem_of_architecture(content)
    if problems := [problem] if problem else problems_of_settings(content):
        raise ValueError(f"model_name_or_path: training would refuse the model of {config}: {'; '.join(problems)}")
    return sizes_of(content, str(config))


def sizes_of(content: dict, where: str) -> Sizes:
    """From the members of a config.json."""
    family = content.get("model_type")
    if family not in FAMILIES:
        raise ValueError(f"{where}: model_type {family!r} is not supported; supported are {', '.join(FAMILIES)}.")
    missing = [name for name in REQUIRED if name not in content]
    if missing:
        raise ValueError(f"{where}: lacks {', '.join(missing)}. Give the folder of the whole model.")
    known = {"tie_word_embeddings": False, **DEFAULTS[family], **content}
    values = {field.name: known[field.name] for field in fields(Sizes) if field.name in known}
    heads = values["num_attention_heads"]
    values["num_key_value_heads"] = values["num_key_value_heads"] or heads
    numbers = *REQUIRED, "num_key_value_heads", "max_position_embeddings"
    wrong = [name for name in numbers if type(values[name]) is not int or values[name] < 1]
    if wrong:
        said = ", ".join(f"{name} {values[name]!r}" for name in wrong)
        raise ValueError(f"{where}: {said}: must be a whole number of 1 or more.")
    if values["hidden_size"] % heads or heads % values["num_key_value_heads"]:
        raise ValueError(
            f"{where}: hidden_size {values['hidden_size']} is no multiple of num_attention_heads {heads}, or that no "
            f"multiple of num_key_value_heads {values['num_key_value_heads']}. Correct the one that is wrong."
        )
    return Sizes(**values)


def projections(sizes: Sizes) -> dict[str, tuple[int, int]]:
    """{name of a matrix of every layer: (inputs, outputs)}"""
    hidden, inner, key_value = sizes.hidden_size, sizes.intermediate_size, sizes.key_value_size
    return {
        "q_proj": (hidden, hidden),
        "k_proj": (hidden, key_value),
        "v_proj": (hidden, key_value),
        "o_proj": (hidden, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }


VECTORS = ("norm", "bias")
# Tensor parallelism cuts the inputs of the first and the outputs of the others
ROW_PARALLEL, COLUMN_PARALLEL = ("o_proj", "down_proj"), ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")


def parts(sizes: Sizes, name: str, tensor_parallel: int) -> int:
    """Into how many parts tensor parallelism cuts a matrix."""
    if name in ("embed_tokens", "lm_head") and sizes.vocab_size % tensor_parallel:
        return 1
    return tensor_parallel


def stages(sizes: Sizes, pipeline: int) -> list[Sizes]:
    """What each stage of a pipeline has of the model: the embedding stands before the first layers, norm and head
    behind the last ones. Layers that cannot be dealt out evenly are dealt out together with these three, what is left
    over to the last stages."""
    share, left = divmod(sizes.num_hidden_layers, pipeline)
    layers = [share] * pipeline
    if left:
        share, left = divmod(sizes.num_hidden_layers + 3, pipeline)
        layers = [share + (stage >= pipeline - left) for stage in range(pipeline)]
        layers[0] -= 1
        layers[-1] -= 2
    return [
        replace(sizes, num_hidden_layers=count, is_first=stage == 0, is_last=stage == pipeline - 1)
        for stage, count in enumerate(layers)
    ]


def tensors(sizes: Sizes, tensor_parallel: int = 1) -> list[tuple[str, int]]:
    """(name, elements on one rank) of every weight, in the model's order."""
    hidden = sizes.hidden_size
    vocabulary = sizes.vocab_size * hidden
    found = []
    if sizes.is_first:
        found.append(("embed_tokens", vocabulary // parts(sizes, "embed_tokens", tensor_parallel)))
    for _ in range(sizes.num_hidden_layers):
        for name, (inputs, outputs) in projections(sizes).items():
            cut = parts(sizes, name, tensor_parallel)
            found.append((name, inputs * outputs // cut))
            if sizes.model_type == "qwen2" and name in ("q_proj", "k_proj", "v_proj"):
                found.append(("bias", outputs // cut))
        found += [("norm", hidden), ("norm", hidden)]
    if sizes.is_last:
        found.append(("norm", hidden))
        if not (sizes.tied and sizes.is_first):  # else it is the embedding; of a tied pair both ends have one
            found.append(("lm_head", vocabulary // parts(sizes, "lm_head", tensor_parallel)))
    return found


def adapters(sizes: Sizes, rank: int, targets: list[str] | None, tensor_parallel: int = 1) -> list[tuple[str, int]]:
    """(name, elements on one rank) of what LoRA trains: two matrices a projection, and the two reward rows."""
    shapes = projections(sizes)
    found = []
    for _ in range(sizes.num_hidden_layers):
        for name in dict.fromkeys(targets or shapes):
            inputs, outputs = shapes[name]
            cut = parts(sizes, name, tensor_parallel)
            whole, divided = (outputs, inputs) if name in ROW_PARALLEL else (inputs, outputs)
            found += [("lora", whole * rank), ("lora", divided // cut * rank)]
    return [*found, ("reward rows", 2 * sizes.hidden_size)] if sizes.is_last else found


def count(found: list[tuple[str, int]]) -> int:
    return sum(elements for _, elements in found)
