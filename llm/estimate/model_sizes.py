"""Sizes of a model, from its config.json or by name, and the tensors that it is made of. No paddle here."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields, replace
from pathlib import Path

from llm.core.model import shapes
from llm.core.model.families import FAMILIES
from llm.core.model.shapes import ROW_PARALLEL, projections
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
    spare_rows: int = 0  # known rows of the embedding that no token of its tokenizer has
    is_first: bool = True  # false of a stage of a pipeline that lacks the embedding
    is_last: bool = True  # false of one that lacks the last norm and the head


VECTORS = ("norm", "bias")
# The models of llm/config and their larger sisters, whose folders need not be at hand.
KNOWN = {
    "meta-llama/Meta-Llama-3.1-8B": Sizes("llama", 128256, 4096, 14336, 32, 32, 8, False, 131072),
    "mistralai/Mistral-7B-v0.1": Sizes("mistral", 32000, 4096, 14336, 32, 32, 8, False, 32768, 4096),
    "Qwen/Qwen2.5-Math-7B-Instruct": Sizes("qwen2", 152064, 3584, 18944, 28, 28, 4, False, 4096, spare_rows=399),
    "meta-llama/Meta-Llama-3.1-70B": Sizes("llama", 128256, 8192, 28672, 80, 64, 8, False, 131072),
    "Qwen/Qwen2.5-Math-72B-Instruct": Sizes("qwen2", 152064, 8192, 29568, 80, 64, 8, False, 4096, spare_rows=399),
}


def read_sizes(config: Path) -> Sizes:
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no object of settings")
    except (OSError, ValueError) as error:
        raise ValueError(f"model_name_or_path: {config} cannot be read ({error}). Copy the folder again.") from error
    return sizes_of(content, f"model_name_or_path: {config}")


def sizes_of(content: dict, where: str) -> Sizes:
    """From the members of a config.json; ValueError where training would refuse it."""
    content = check(content, where)
    known = {"tie_word_embeddings": False, **FAMILIES[content["model_type"]].defaults, **content}
    values = {field.name: known[field.name] for field in fields(Sizes) if field.name in known}
    return Sizes(**values | {"num_key_value_heads": values["num_key_value_heads"] or values["num_attention_heads"]})


def parts(sizes: Sizes, name: str, tensor_parallel: int) -> int:
    """Into how many parts tensor parallelism cuts a tensor."""
    is_whole = name == "norm" or name in ("embed_tokens", "lm_head") and sizes.vocab_size % tensor_parallel
    return 1 if is_whole else tensor_parallel


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

    def on_a_rank(weights: dict[str, list[int]]) -> list[tuple[str, int]]:
        named = [(short_name(weight), math.prod(shape)) for weight, shape in weights.items()]
        return [(name, elements // parts(sizes, name, tensor_parallel)) for name, elements in named]

    ends = shapes.of_ends(sizes)
    has_head = sizes.is_last and not (sizes.tie_word_embeddings and sizes.is_first)  # of a tied pair both ends have one
    before = {shapes.EMBEDDING: ends[shapes.EMBEDDING]} if sizes.is_first else {}
    after = {shapes.NORM: ends[shapes.NORM]} if sizes.is_last else {}
    after |= {shapes.HEAD: ends[shapes.HEAD]} if has_head else {}
    return on_a_rank(before) + on_a_rank(shapes.of_layer(sizes)) * sizes.num_hidden_layers + on_a_rank(after)


def short_name(weight: str) -> str:
    """The projection or table that it belongs to, or which of the VECTORS it is."""
    owner, kind = weight.split(".")[-2:]
    return "norm" if "norm" in owner else "bias" if kind == "bias" else owner


def adapters(sizes: Sizes, rank: int, targets: list[str] | None, tensor_parallel: int = 1) -> list[tuple[str, int]]:
    """(name, elements on one rank) of what LoRA trains: two matrices a projection, and the two reward rows."""
    matrices = projections(sizes)
    found = []
    for _ in range(sizes.num_hidden_layers):
        for name in dict.fromkeys(targets or matrices):
            inputs, outputs = matrices[name]
            cut = parts(sizes, name, tensor_parallel)
            whole, divided = (outputs, inputs) if name in ROW_PARALLEL else (inputs, outputs)
            found += [("lora", whole * rank), ("lora", divided // cut * rank)]
    return [*found, ("reward rows", 2 * sizes.hidden_size)] if sizes.is_last else found


def count(found: list[tuple[str, int]]) -> int:
    return sum(elements for _, elements in found)
