"""Sizes of a model, from its config.json or by name, and the tensors that it is made of. No paddle here."""

from __future__ import annotations

import math
from dataclasses import replace

from llm.core.model import shapes
from llm.core.model.head.head_kinds import NAMES, kind_of
from llm.core.model.shapes import ROW_PARALLEL, projections
from llm.core.model.sizes import Sizes

VECTORS = ("norm", "bias")
HEAD = "reward head"  # of the model's own


def parts(sizes: Sizes, name: str, tensor_parallel: int) -> int:
    """Into how many parts tensor parallelism cuts a tensor."""
    is_whole = name in ("norm", HEAD) or name in ("embed_tokens", "lm_head") and sizes.vocab_size % tensor_parallel
    return 1 if is_whole else tensor_parallel


def stages(sizes: Sizes, pipeline: int) -> list[Sizes]:
    """What each stage of a pipeline has of the model: the embedding comes before the first layers, norm and head after
    the last ones. Layers that cannot be divided evenly are divided together with these three, and the last stages get
    the rest."""
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
    after |= shapes.of_head(sizes) if has_head else {}
    return on_a_rank(before) + on_a_rank(shapes.of_layer(sizes)) * sizes.num_hidden_layers + on_a_rank(after)


def short_name(weight: str) -> str:
    """The projection or table that it belongs to, or which of the VECTORS it is."""
    if weight in NAMES and weight.endswith("weight"):
        return HEAD
    owner, kind = weight.split(".")[-2:]
    return "norm" if "norm" in owner else "bias" if kind == "bias" else owner


def adapters(
    sizes: Sizes, rank: int, targets: list[str] | None, tensor_parallel: int = 1, of_rewards: bool = True
) -> list[tuple[str, int]]:
    """(name, elements on one rank) of what LoRA trains: two matrices a projection, and of rewards the two rows or a
    head of the model's own."""
    matrices = projections(sizes)
    found = []
    for _ in range(sizes.num_hidden_layers):
        for name in dict.fromkeys(targets or matrices):
            inputs, outputs = matrices[name]
            cut = parts(sizes, name, tensor_parallel)
            whole, divided = (outputs, inputs) if name in ROW_PARALLEL else (inputs, outputs)
            found += [("lora", whole * rank), ("lora", divided // cut * rank)]
    if not sizes.is_last or not of_rewards:
        return found
    head = shapes.of_head(sizes) if kind_of(sizes) else {"rows.weight": [2, sizes.hidden_size]}
    return [*found, *((HEAD, math.prod(shape)) for shape in head.values())]


def count(found: list[tuple[str, int]]) -> int:
    return sum(elements for _, elements in found)
