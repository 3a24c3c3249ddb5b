"""The cheapest change of a configuration with which it fits into memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from llm.core.model.sizes import Sizes
from llm.core.parallel.layout import (
    PIPELINE,
    SHARDING,
    TENSOR,
    layout_of,
    problems_of_model,
    problems_of_run,
    task_of,
)
from llm.estimate.memory import estimate
from llm.estimate.plan import Plan, plan_of

Choices = list[tuple[int, dict]]  # (cost, settings)
DEGREES = (2, 4, 8)


def cheapest_change(values: dict, sizes: Sizes, gpus: int, memory: int) -> tuple[dict | None, int | None]:
    """(settings to change, the peak with them) of the least cost that fits, or (None, None)."""
    for _, changes in sorted(possible_changes(values, sizes, gpus), key=lambda priced: (priced[0], len(priced[1]))):
        changes = with_same_update(values, changes, gpus)
        needed = sum(estimate(sizes, plan_of(values | changes, gpus)).values())
        if needed <= memory:
            return changes, needed
    return None, None


def with_same_update(values: dict, changes: dict, gpus: int) -> dict:
    """As many rows in an update as before, where that can be."""
    before, after = (plan_of(some, gpus) for some in (values, values | changes))
    rows, rows_of_micro_batches = rows_of_update(before), after.rows * after.data_ranks
    if rows_of_update(after) == rows or rows % rows_of_micro_batches:
        return changes
    return changes | {"gradient_accumulation_steps": rows // rows_of_micro_batches}


def rows_of_update(plan: Plan) -> int:
    return plan.rows * plan.micro_batches * plan.data_ranks


def possible_changes(values: dict, sizes: Sizes, gpus: int) -> Iterator[tuple[int, dict]]:
    """What changes nothing that is computed comes first, then what costs a little speed, then what costs much, at last
    training something else. Nothing that training refuses."""
    plan = plan_of(values, gpus)
    choices = of_attention(values), of_rows(values), of_sharding(values, gpus), of_recompute(values)
    for parts in product(*choices, of_tensors(plan), of_stages(plan), of_tokens(plan), of_adapters(values)):
        changes = {name: value for _, part in parts for name, value in part.items()}
        if is_accepted(values, changes, sizes, gpus):
            yield sum(cost for cost, _ in parts), changes


def is_accepted(values: dict, changes: dict, sizes: Sizes, gpus: int) -> bool:
    """Whether training takes the changed settings."""
    after, task = layout_of(values | changes, gpus), task_of(values | changes, may_grow(values, sizes, gpus))
    return not any(problems_of_run(after, task)) and not any(problems_of_model(after, sizes))


def may_grow(values: dict, sizes: Sizes, gpus: int) -> bool:
    """Whether a placeholder may need a row that the model lacks. Where its vocabulary is divided already it does not:
    training would have refused that."""
    start = layout_of(values, gpus)
    return values.get("add_placeholder_token", False) and not sizes.spare_rows and start.tensor == start.pipeline == 1


def of_attention(values: dict) -> Choices:
    if not values["bf16"] or values["use_flash_attention"] and values["flash_mask"]:
        return [(0, {})]
    return [(0, {}), (1, {"use_flash_attention": True, "flash_mask": True})]


def of_rows(values: dict) -> Choices:
    """Of a micro-batch."""
    fewer = [(1, {"per_device_train_batch_size": 1})] if values["per_device_train_batch_size"] > 1 else []
    return [(0, {}), *fewer]


def of_sharding(values: dict, gpus: int) -> Choices:
    plan = plan_of(values, gpus)
    choices: Choices = [(0, {})]
    fewer = plan.sharded_ranks < gpus // (plan.tensor_parallel * plan.pipeline)
    for cost, stage in ((2, "stage1"), (3, "stage2")):
        if gpus > 1 and (values["sharding"] < stage or values["sharding"] == stage and fewer):
            choices.append((cost, {"sharding": stage, "sharding_parallel_degree": -1}))
    return choices


def of_recompute(values: dict) -> Choices:
    choices: Choices = [(0, {})]
    if not values["recompute"]:
        choices.append((4, {"recompute": True, "recompute_granularity": "full_attn"}))
    if not values["recompute"] or values["recompute_granularity"] != "full":
        choices.append((5, {"recompute": True, "recompute_granularity": "full"}))
    return choices


def of_tensors(plan: Plan) -> Choices:
    """More parts of layers."""
    more = [(5 + n, parts) for n, parts in enumerate(DEGREES, 1) if parts > plan.tensor_parallel]
    return [(0, {}), *((cost, {TENSOR: parts, SHARDING: -1}) for cost, parts in more)]


def of_stages(plan: Plan) -> Choices:
    more = [(8 + n, stages) for n, stages in enumerate(DEGREES, 1) if stages > plan.pipeline]
    return [(0, {}), *((cost, {PIPELINE: stages, SHARDING: -1}) for cost, stages in more)]


def of_tokens(plan: Plan) -> Choices:
    return [(0, {})] if plan.sequence_parallel else [(0, {}), (1, {"sequence_parallel": True})]


def of_adapters(values: dict) -> Choices:
    return [(0, {})] if values["lora"] else [(0, {}), (50, {"lora": True})]
