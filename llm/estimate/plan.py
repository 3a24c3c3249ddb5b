"""What of the settings and the launch counts for memory, traffic and time. No paddle here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm.core.run.task import Task
from llm.core.settings.settings import Settings

FLOAT32 = 4
# What a plan is made of, and what decides whether training takes a change of it. A task may lack some of them.
PLANNED = (
    "per_device_train_batch_size gradient_accumulation_steps max_seq_len bf16 fp16_opt_level amp_master_grad "
    "tensor_parallel_degree sequence_parallel pipeline_parallel_degree sharding sharding_parallel_degree "
    "sharding_parallel_config recompute recompute_granularity use_flash_attention flash_mask lora lora_rank "
    "lora_target_modules add_placeholder_token prm_loss unified_checkpoint tensor_parallel_config"
).split()


@dataclass(frozen=True)
class Plan:
    rows: int
    tokens: int
    precision: str  # float32, bf16 O1, bf16 O2
    float32_gradients: bool = False  # amp_master_grad
    micro_batches: int = 1  # of an update
    data_parallel: int = 1  # copies of all that is below
    pipeline: int = 1
    partial_sends: bool = True  # each rank of tensor parallelism sends its part to the next stage; over gloo all of it
    tensor_parallel: int = 1
    sequence_parallel: bool = False
    sharding: str = ""
    sharded_ranks: int = 1
    split_parameters: bool = False  # sharding_parallel_config has split_param: stage1 cuts through tensors
    recompute: str = ""  # empty: nothing is
    flash_mask: bool = False
    lora_rank: int = 0
    lora_targets: tuple[str, ...] = ()
    placeholder_row: bool = False  # LoRA with an embedding of the placeholder that trains
    whole_vocabulary: bool = False  # prm_loss vocabulary
    asks_reference: bool = False  # a forward pass by the reference with every micro-batch
    holds_reference: bool = False  # which is a second model, and does not train
    learns_text: bool = False  # fine-tuning: at most every token is predicted, over the whole vocabulary

    @property
    def bytes_of_value(self) -> int:
        """Of an activation, and of what a matrix product reads."""
        return FLOAT32 if self.precision == "float32" else 2

    @property
    def bytes_of_weight(self) -> int:
        return 2 if self.precision == "bf16 O2" else FLOAT32

    @property
    def bytes_of_gradient(self) -> int:
        return FLOAT32 if self.float32_gradients else self.bytes_of_weight

    @property
    def bytes_of_stream(self) -> int:
        """Of a value between two layers."""
        return 2 if self.precision == "bf16 O2" else FLOAT32

    @property
    def parts_of_tokens(self) -> int:
        """Into how many parts norms and residuals are cut."""
        return self.tensor_parallel if self.sequence_parallel else 1

    @property
    def data_ranks(self) -> int:
        """Ranks with micro-batches of their own, counting those once that share them."""
        return self.data_parallel * (self.sharded_ranks if self.sharding else 1)


def planned(settings: Settings, task: Task) -> dict[str, Any]:
    of_task = {
        "learns_text": task.learns_text,
        "asks_reference": task.asks_reference(settings),
        "holds_reference": task.holds_reference(settings),
    }
    return {name: settings[name] for name in PLANNED if name in settings} | of_task


def plan_of(values: Mapping[str, Any], gpus: int) -> Plan:
    tensor_parallel, pipeline = (max(values[f"{kind}_parallel_degree"], 1) for kind in ("tensor", "pipeline"))
    copies = gpus // (tensor_parallel * pipeline)
    sharded_ranks = copies if values["sharding_parallel_degree"] == -1 else values["sharding_parallel_degree"]
    sharding = values["sharding"] if sharded_ranks > 1 else ""
    return Plan(
        rows=values["per_device_train_batch_size"],
        tokens=values["max_seq_len"],
        precision=f"bf16 {values['fp16_opt_level']}" if values["bf16"] else "float32",
        float32_gradients=values["amp_master_grad"],
        micro_batches=values["gradient_accumulation_steps"],
        data_parallel=copies // sharded_ranks if sharding else copies,
        pipeline=pipeline,
        tensor_parallel=tensor_parallel,
        sequence_parallel=values["sequence_parallel"] and tensor_parallel > 1,
        sharding=sharding,
        sharded_ranks=sharded_ranks,
        split_parameters="split_param" in values["sharding_parallel_config"],
        recompute=values["recompute_granularity"] if values["recompute"] else "",
        flash_mask=values["use_flash_attention"] and values["flash_mask"],
        lora_rank=values["lora_rank"] if values["lora"] else 0,
        lora_targets=tuple(values["lora_target_modules"] or ()),
        placeholder_row=values["lora"] and values.get("add_placeholder_token", False),
        whole_vocabulary=values.get("prm_loss") == "vocabulary",
        learns_text=values.get("learns_text", False),
        asks_reference=values.get("asks_reference", False),
        holds_reference=values.get("holds_reference", False),
    )
