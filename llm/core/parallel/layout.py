"""How the processes of a run share the work: which layouts there are, and which a model can have.

world = tensor x pipeline x data; the data ranks see rows of their own, and sharding divides state among them.
"""

from __future__ import annotations

from typing import Protocol

from llm.core.settings.settings import Settings

TENSOR, PIPELINE, SHARDING = "tensor_parallel_degree", "pipeline_parallel_degree", "sharding_parallel_degree"
LAUNCH = "start it with python -m paddle.distributed.launch"


def degree(settings: Settings, name: str) -> int:
    return max(settings[name], 1)


def data_ranks(ranks: int, tensor: int, pipeline: int) -> int:
    """How many ranks see rows of their own."""
    return max(ranks // (max(tensor, 1) * max(pipeline, 1)), 1)


def _data_ranks(settings: Settings, ranks: int) -> int:
    return data_ranks(ranks, settings[TENSOR], settings[PIPELINE])


def resolve(settings: Settings, ranks: int, has_cuda: bool) -> None:
    """Note what cannot be, whatever the model."""
    if _data_ranks(settings, ranks) == 1 and not settings.is_written("sharding"):
        parts = " with rows of its own" if ranks > 1 else ""
        settings.change_default("sharding", "", f"one process{parts} has nothing to share")
    _check_degrees(settings, ranks)
    tensor, pipeline, stage = degree(settings, TENSOR), degree(settings, PIPELINE), settings["sharding"]
    if tensor > 1 and stage == "stage3":
        settings.refuse("sharding", "stage3 does not go with tensor parallelism in PaddleNLP; write stage1 or stage2")
    if pipeline > 1 and stage in ("stage2", "stage3"):
        settings.refuse("sharding", "only stage1 goes with pipeline parallelism in PaddleNLP; write stage1")
    if settings["sequence_parallel"] and tensor == 1:
        settings.refuse("sequence_parallel", "is a part of tensor parallelism; write tensor_parallel_degree, too")
    if settings["virtual_pp_degree"] != 1:
        settings.refuse("virtual_pp_degree", "a rank has one stage of the pipeline here; write 1 or leave it out")
    if pipeline > 1 and settings["lora"]:
        settings.refuse(
            "lora",
            "PaddleNLP wraps the whole model in adapters, and a stage has a part of it; write "
            "tensor_parallel_degree or sharding for pipeline_parallel_degree",
        )
    if stage == "stage3" and settings["lora"]:
        settings.refuse(
            "sharding",
            "stage3 has no weights outside the call of their layer, and lora's reward rows are "
            "read outside; write stage1 or stage2",
        )
    _check_options(settings, ranks)
    if not settings["unified_checkpoint"] and max(tensor, pipeline) > 1:
        settings.refuse(
            "unified_checkpoint",
            "each process would save a part of the model that nothing else reads; write true, or leave it out",
        )
    if not has_cuda and "enable_stage1_tensor_fusion" in settings["sharding_parallel_config"]:
        settings.refuse("sharding_parallel_config", "enable_stage1_tensor_fusion needs GPUs; leave it out")


def _check_options(settings: Settings, ranks: int) -> None:
    """Words for PaddleNLP that it would pass over, or that change more than speed."""
    sharding = "sharding_parallel_config"
    if settings[sharding] and (not settings["sharding"] or _data_ranks(settings, ranks) == 1):
        settings.refuse(sharding, "nothing is sharded in this run; leave it out")
    if settings["tensor_parallel_config"] and degree(settings, TENSOR) == 1:
        settings.refuse("tensor_parallel_config", "tensor_parallel_degree is not above 1; leave it out")
    for word in ("enable_stage2_overlap", "enable_stage1_broadcast_overlap", "enable_stage1_allgather_overlap"):
        if word in settings[sharding]:
            settings.refuse(sharding, f"nothing waits for the broadcasts of {word} before an evaluation; leave it out")
    if settings["amp_master_grad"] and not settings["bf16"]:
        settings.refuse("amp_master_grad", "gradients are float32 already where bf16 is false; leave it out")


def _check_degrees(settings: Settings, ranks: int) -> None:
    for name in (TENSOR, PIPELINE, SHARDING):
        if settings[name] == 0 or settings[name] < -1:
            settings.refuse(name, "a degree is 1 or more, or -1 for none")
        elif settings[name] > 1 and ranks % settings[name]:
            settings.refuse(name, f"{ranks} process(es) cannot be divided by it; {LAUNCH} and as many processes")
    if settings[SHARDING] > 1 and not settings["sharding"]:
        settings.refuse(SHARDING, "sharding is empty; write sharding stage1, stage2 or stage3")
    parts = degree(settings, TENSOR) * degree(settings, PIPELINE)
    if settings.problems:
        return
    if ranks % parts:
        settings.refuse(
            PIPELINE,
            f"times {TENSOR} it is {parts}, and {ranks} process(es) cannot be divided by that; "
            f"{LAUNCH} and as many processes, or lower one of them",
        )
    elif ranks // parts % degree(settings, SHARDING):
        settings.refuse(
            SHARDING,
            f"{ranks} processes in parts of {parts} leave {ranks // parts} with data of their "
            "own, which cannot be divided by it; lower it",
        )


def fit_to_model(settings: Settings, sizes) -> None:
    """Note what this model cannot be divided into."""
    tensor, pipeline = degree(settings, TENSOR), degree(settings, PIPELINE)
    counts = {
        "num_attention_heads": sizes.num_attention_heads,
        "num_key_value_heads": sizes.num_key_value_heads,
        "intermediate_size": sizes.intermediate_size,
    }
    for name, count in counts.items():
        if count % tensor:
            settings.refuse(TENSOR, f"the model's {name} {count} cannot be divided by it; write a divisor")
    if pipeline > sizes.num_hidden_layers:
        settings.refuse(PIPELINE, f"the model has {sizes.num_hidden_layers} layers for it; write fewer stages")
    if sizes.model_type == "mistral":
        for name, asked in ((PIPELINE, pipeline > 1), ("sequence_parallel", settings["sequence_parallel"])):
            if asked:
                settings.refuse(
                    name, "PaddleNLP's Mistral has no code for it; write tensor_parallel_degree or sharding instead"
                )


class Asked(Protocol):
    """The settings of a run that say how it is divided."""

    unified_checkpoint: bool
    sharding: str
    tensor_parallel_degree: int
    pipeline_parallel_degree: int
    sharding_parallel_degree: int


def of_checkpoints(asked: Asked, ranks: int) -> str:
    """The layout that a checkpoint can be resumed under."""
    if asked.unified_checkpoint:
        return "any"
    parts = {"ranks": ranks, **{name: max(getattr(asked, name), 1) for name in (TENSOR, PIPELINE, SHARDING)}}
    return ", ".join([*(f"{name} {count}" for name, count in parts.items()), f"sharding {asked.sharding or 'none'}"])
