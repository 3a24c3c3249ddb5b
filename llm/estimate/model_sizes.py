"""Sizes of a model, from its config.json or by name, and the tensors that it is made of. No paddle here."""

from __future__ import annotations

from dataclasses import replace

from llm.core.model.sizes import Sizes


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
