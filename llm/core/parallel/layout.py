"""How the ranks of a run share the work: which layouts there are, and which a model can have. No paddle here.

world = tensor x pipeline x data; the data ranks see rows of their own, and sharding divides state among them.
`problems_of_run` and `problems_of_model` hold every rule: training refuses by them, and estimate proposes nothing that
has a problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llm.core.console import count_of
from llm.core.model.families import family_of
from llm.core.settings.settings import Settings

TENSOR, PIPELINE, SHARDING = "tensor_parallel_degree", "pipeline_parallel_degree", "sharding_parallel_degree"
LAUNCH = "start it with python -m paddle.distributed.launch and as many processes"
GIVE_GPUS = "give another number of --gpus"  # where a run is only estimated
Problem = tuple[str, str]  # the setting; why it cannot be, and what to do


@dataclass(frozen=True)
class Layout:
    ranks: int
    tensor: int = 1
    pipeline: int = 1
    sharding: str = ""
    sharding_degree: int = 1  # 1, too, where all data ranks share
    sequence_parallel: bool = False
    recompute: str = ""  # what is recomputed
    more_ranks: str = LAUNCH  # how a user gets as many ranks as the degrees need

    @property
    def data_ranks(self) -> int:
        """How many ranks see rows of their own."""
        return max(self.ranks // (self.tensor * self.pipeline), 1)


@dataclass(frozen=True)
class Task:
    """What else of a run decides which layouts it can have."""

    lora: bool = False
    whole_vocabulary: bool = False  # prm_loss
    grows_vocabulary: bool = False  # for a placeholder, beyond the rows that the model has
    unified_checkpoint: bool = True
    sharding_options: bool = False  # whether sharding_parallel_config says anything
    tensor_options: bool = False


def layout_of(values: Settings | dict, ranks: int) -> Layout:
    tensor, pipeline, sharded = (degree(values, name) for name in (TENSOR, PIPELINE, SHARDING))
    recompute = values["recompute_granularity"] if values["recompute"] else ""
    more_ranks = GIVE_GPUS if "gpus" in values else LAUNCH
    return Layout(
        ranks, tensor, pipeline, values["sharding"], sharded, values["sequence_parallel"], recompute, more_ranks
    )


def task_of(values: Settings | dict, grows_vocabulary: bool = False) -> Task:
    return Task(
        lora=values["lora"],
        whole_vocabulary="prm_loss" in values and values["prm_loss"] == "vocabulary",
        grows_vocabulary=grows_vocabulary,
        unified_checkpoint=values["unified_checkpoint"],
        sharding_options=bool(values["sharding_parallel_config"]),
        tensor_options=bool(values["tensor_parallel_config"]),
    )


def degree(values: Settings | dict, name: str) -> int:
    return max(values[name], 1)


def problems_of_run(layout: Layout, task: Task) -> Iterator[Problem]:
    """What cannot be, whatever the model."""
    yield from _problems_of_degrees(layout)
    tensor, pipeline, sharding = layout.tensor, layout.pipeline, layout.sharding
    if tensor > 1 and sharding == "stage3":
        yield "sharding", "PaddleNLP does not combine stage3 with tensor parallelism; write stage1 or stage2"
    if pipeline > 1 and sharding in ("stage2", "stage3"):
        yield "sharding", "PaddleNLP combines pipeline parallelism with stage1 only; write stage1"
    if layout.sequence_parallel and tensor == 1:
        yield "sequence_parallel", "it is a part of tensor parallelism; write tensor_parallel_degree, too"
    if task.lora and pipeline > 1:
        why = "PaddleNLP adds adapters to a whole model, and a stage of a pipeline has only a part of it"
        yield "lora", f"{why}; write {TENSOR} or sharding instead of {PIPELINE}"
    if task.lora and sharding == "stage3":
        why = "stage3 has a layer's weights only while the layer runs, and lora reads its reward rows outside of one"
        yield "sharding", f"{why}; write stage1 or stage2"
    if task.lora and task.whole_vocabulary:
        yield "prm_loss", "with lora only two rows of the head train; write reward_tokens, or lora false"
    if task.whole_vocabulary and tensor > 1:
        yield "prm_loss", f"with tensor parallelism no rank has the whole vocabulary; write {TENSOR} 1"
    if task.grows_vocabulary and max(tensor, pipeline) > 1:
        why = f"the vocabulary has to grow, and with {TENSOR} or {PIPELINE} above 1 no rank has all of it"
        yield "add_placeholder_token", f"{why}; choose a placeholder_token that is one token"
    if not task.unified_checkpoint and max(tensor, pipeline) > 1:
        why = "each process would save a part of the model that nothing else can read"
        yield "unified_checkpoint", f"{why}; write true, or leave it out"
    if task.sharding_options and (not sharding or layout.data_ranks == 1):
        yield "sharding_parallel_config", "nothing is sharded in this run; leave it out"
    if task.tensor_options and tensor == 1:
        yield "tensor_parallel_config", f"{TENSOR} is not above 1; leave it out"


def _problems_of_degrees(layout: Layout) -> Iterator[Problem]:
    ranks, parts = layout.ranks, layout.tensor * layout.pipeline
    degrees = {TENSOR: layout.tensor, PIPELINE: layout.pipeline, SHARDING: layout.sharding_degree}
    processes = count_of(ranks, "process", "processes")
    wrong = [name for name, count in degrees.items() if ranks % count]
    for name in wrong:
        lower = "write -1 for all of them" if name == SHARDING else "lower it"
        yield name, f"the run has {processes}, which it does not divide; {layout.more_ranks}, or {lower}"
    if layout.sharding_degree > 1 and not layout.sharding:
        yield SHARDING, "sharding is empty; write sharding stage1, stage2 or stage3"
    elif wrong:
        return
    elif ranks % parts:
        why = f"times {TENSOR} it is {parts}, which does not divide the {processes} of the run"
        yield PIPELINE, f"{why}; {layout.more_ranks}, or lower one of them"
    elif layout.data_ranks % layout.sharding_degree:
        why = f"{processes} in groups of {parts} leave {layout.data_ranks} with data of their own"
        yield SHARDING, f"{why}, which it does not divide; lower it"


def problems_of_model(layout: Layout, config: Any) -> Iterator[Problem]:
    """What this model cannot be divided into; `config` is its configuration, or anything with its sizes."""
    for name in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        if (count := getattr(config, name)) % layout.tensor:
            yield TENSOR, f"it does not divide the model's {name} {count}; write a divisor"
    if layout.pipeline > config.num_hidden_layers:
        yield PIPELINE, f"the model has only {config.num_hidden_layers} layers; write fewer stages"
    family = family_of(config)
    lacks = f"PaddleNLP's {family.name} has no code for it; write {TENSOR} or sharding instead"
    if layout.pipeline > 1 and not family.has_pipeline:
        yield PIPELINE, lacks
    if layout.sequence_parallel and not family.has_sequence_parallel:
        yield "sequence_parallel", lacks
    if layout.recompute not in ("", "full") and not family.recomputes_parts:
        yield "recompute_granularity", f"PaddleNLP's {family.name} recomputes whole layers or nothing; write full"


def resolve(settings: Settings, ranks: int, has_cuda: bool) -> None:
    """Note what cannot be, whatever the model."""
    if layout_of(settings, ranks).data_ranks == 1 and not settings.is_written("sharding"):
        parts = " with rows of its own" if ranks > 1 else ""
        settings.change_default("sharding", "", f"one process{parts} has nothing to share")
    for name, why in problems_of_run(layout_of(settings, ranks), task_of(settings)):
        settings.refuse(name, why)
    _check_options(settings, has_cuda)


def _check_options(settings: Settings, has_cuda: bool) -> None:
    """What PaddleNLP would ignore, or what changes more than speed."""
    options = settings["sharding_parallel_config"]
    for word in ("enable_stage2_overlap", "enable_stage1_broadcast_overlap", "enable_stage1_allgather_overlap"):
        if word in options:
            why = f"with {word} an evaluation would not wait for the updated weights"
            settings.refuse("sharding_parallel_config", f"{why}; leave it out")
    if not has_cuda and "enable_stage1_tensor_fusion" in options:
        settings.refuse("sharding_parallel_config", "enable_stage1_tensor_fusion needs GPUs; leave it out")
    if settings["amp_master_grad"] and not settings["bf16"]:
        settings.refuse("amp_master_grad", "without bf16 gradients are float32 anyway; leave it out")


def fit_to_model(settings: Settings, config: Any) -> None:
    """Note what this model cannot be divided into."""
    for name, why in problems_of_model(layout_of(settings, ranks=1), config):
        settings.refuse(name, why)


def of_checkpoints(values: Settings | dict, ranks: int) -> str:
    """The layout that a checkpoint can be resumed under."""
    if values["unified_checkpoint"]:
        return "any"
    parts = {"ranks": ranks, **{name: degree(values, name) for name in (TENSOR, PIPELINE, SHARDING)}}
    shown = [f"{name} {count}" for name, count in parts.items()]
    return ", ".join([*shown, f"sharding {values['sharding'] or 'none'}"])
