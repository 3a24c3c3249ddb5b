"""The cheapest change of a configuration with which it fits into memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from llm.core.model.sizes import Sizes
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
    training something else. All that training takes together."""
    choices = of_attention(values), of_rows(values), of_sharding(values, gpus), of_recompute(values, sizes)
    for parts in product(*choices, of_cutting(values, sizes, gpus), of_adapters(values)):
        changes = {name: value for _, part in parts for name, value in part.items()}
        cut = {"tensor_parallel_degree", "pipeline_parallel_degree"} & changes.keys()
        in_stages = (values | changes)["pipeline_parallel_degree"] > 1
        refused = in_stages and (values | changes)["sharding"] in ("stage2", "stage3")
        if not refused and not (cut and "lora" in changes):
            yield sum(cost for cost, _ in parts), changes


def of_attention(values: dict) -> Choices:
    if not values["bf16"] or values["use_flash_attention"] and values["flash_mask"]:
        return [(0, {})]
    return [(0, {}), (1, {"use_flash_attention": True, "flash_mask": True})]


def of_rows(values: dict) -> Choices:
    """Of a micro-batch."""
    fewer = [(1, {"per_device_train_batch_size": 1})] if values["per_device_train_batch_size"] > 1 else []
    return [(0, {}), *fewer]


def of_sharding(values: dict, gpus: int) -> Choices:
    plan, choices = plan_of(values, gpus), [(0, {})]
    fewer = plan.sharded_ranks < gpus // (plan.tensor_parallel * plan.pipeline)
    for cost, stage in ((2, "stage1"), (3, "stage2")):
        if gpus > 1 and (values["sharding"] < stage or values["sharding"] == stage and fewer):
            choices.append((cost, {"sharding": stage, "sharding_parallel_degree": -1}))
    return choices


def of_recompute(values: dict, sizes: Sizes) -> Choices:
    choices = [(0, {})]
    if not values["recompute"] and sizes.model_type != "mistral":
        choices.append((4, {"recompute": True, "recompute_granularity": "full_attn"}))
    if not values["recompute"] or values["recompute_granularity"] != "full":
        choices.append((5, {"recompute": True, "recompute_granularity": "full"}))
    return choices


def of_cutting(values: dict, sizes: Sizes, gpus: int) -> Choices:
    """More parts of layers, their tokens among these, and stages."""
    if values["prm_loss"] == "vocabulary" or values["add_placeholder_token"] or values["sharding"] == "stage3":
        return [(0, {})]
    choices, plan = [], plan_of(values, gpus)
    takes_all = sizes.model_type != "mistral"  # which has neither sequence parallelism nor stages
    tensors = [(0, plan.tensor_parallel), *((5 + n, degree) for n, degree in enumerate(DEGREES, 1))]
    stages = [(0, plan.pipeline)]
    if takes_all and not values["lora"]:
        stages += [(8 + n, degree) for n, degree in enumerate(DEGREES, 1)]
    for (cost, tensor), (more, stage), sequence in product(tensors, stages, (False, True)):
        counts = sizes.num_key_value_heads % tensor, sizes.intermediate_size % tensor, gpus % (tensor * stage)
        smaller = tensor < plan.tensor_parallel or stage < plan.pipeline or stage > sizes.num_hidden_layers
        if smaller or any(counts) or sequence and (tensor == 1 or plan.sequence_parallel or not takes_all):
            continue
        degrees = {"tensor_parallel_degree": tensor} if tensor > plan.tensor_parallel else {}
        degrees |= {"pipeline_parallel_degree": stage} if stage > plan.pipeline else {}
        degrees |= {"sharding_parallel_degree": -1} if degrees else {}
        choices.append((cost + more + sequence, degrees | ({"sequence_parallel": True} if sequence else {})))
    return choices


def of_adapters(values: dict) -> Choices:
    if values["lora"] or values["prm_loss"] == "vocabulary" or values["sharding"] == "stage3":
        return [(0, {})]
    return [(0, {}), (50, {"lora": True})]
