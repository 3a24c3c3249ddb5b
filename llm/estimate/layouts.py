"""Every layout that some GPUs can have for the same update, the fastest that fit first."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from llm.core.model.sizes import Sizes
from llm.estimate.changes import is_accepted, rows_of_update
from llm.estimate.memory import GIB, estimate
from llm.estimate.plan import plan_of
from llm.estimate.traffic import traffic
from llm.estimate.update_time import Hardware, floor

STAGES = ("", "stage1", "stage2", "stage3")
RECOMPUTE = ("", "full_attn", "full")  # with FlashMask core_attn saves next to nothing


def compare(values: dict, sizes: Sizes, gpus: int, memory: int, overhead: int, hardware: Hardware) -> list[dict]:
    """What does not fit comes last, what needs least memory first."""
    found = []
    for settings in layouts(values, sizes, gpus, hardware):
        plan = plan_of(values | settings, gpus)
        seconds = floor(sizes, plan, traffic(sizes, plan), hardware)
        needed = sum(estimate(sizes, plan).values()) + overhead
        found.append(
            {
                "settings": settings,
                "bytes": needed,
                "fits": needed <= memory,
                "least": seconds["least"],
                "seconds": seconds["one_by_one"],
            }
        )
    return sorted(found, key=lambda one: (not one["fits"], one["seconds"] if one["fits"] else 0, one["bytes"]))


def layouts(values: dict, sizes: Sizes, gpus: int, hardware: Hardware) -> Iterator[dict]:
    """Settings that training takes together. Tensor parallelism stays within a node."""
    rows = rows_of_update(plan_of(values, gpus))
    tensors, pipelines = divisors(gpus, hardware.gpus_per_node), divisors(gpus, sizes.num_hidden_layers)
    for tensor, pipeline, sharding, recompute, sequence in product(
        tensors, pipelines, STAGES, RECOMPUTE, (False, True)
    ):
        copies = max(gpus // (tensor * pipeline), 1)
        accumulation, rest = divmod(rows, values["per_device_train_batch_size"] * copies)
        if rest or not accumulation or sharding and copies == 1:  # another update; nothing to share
            continue
        settings = {
            "tensor_parallel_degree": tensor,
            "sequence_parallel": sequence,
            "pipeline_parallel_degree": pipeline,
            "sharding": sharding,
            "sharding_parallel_degree": copies if sharding else -1,
            "recompute": bool(recompute),
            "recompute_granularity": recompute or "full",
            "gradient_accumulation_steps": accumulation,
        }
        if is_accepted(values, settings, sizes, gpus):
            yield settings


def divisors(number: int, most: int) -> list[int]:
    return [divisor for divisor in range(1, min(number, most) + 1) if number % divisor == 0]


def screen_of_layouts(found: list[dict]) -> Iterator[str]:
    if found:
        yield f"\n{'seconds':<9}{'at least':<9}{'GiB':>7}  the same update in other layouts"
    for layout in found:
        settings = layout["settings"]
        names = {"tensor": settings["tensor_parallel_degree"], "pipeline": settings["pipeline_parallel_degree"]}
        parts = [f"{name} {degree}" for name, degree in names.items() if degree > 1]
        parts += ["sequence"] * settings["sequence_parallel"]
        parts += [f"{settings['sharding']} {settings['sharding_parallel_degree']}"] if settings["sharding"] else []
        parts += [f"recompute {settings['recompute_granularity']}"] if settings["recompute"] else []
        size = f"{layout['seconds']:<9.3f}{layout['least']:<9.3f}{layout['bytes'] / GIB:>7.1f}"
        steps = f"{settings['gradient_accumulation_steps']} micro-batches"
        yield f"{size}  {', '.join([*parts, steps])}{'' if layout['fits'] else ' (does not fit)'}"
