"""The least time that an update can take: what is multiplied, what is sent, what a pipeline idles. No paddle here.

Ranks lie in this order, neighbours first: tensor parallelism, sharding, pipeline, data parallelism (PaddleNLP's
"pp_first"); a node holds the next ones that fit.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm.core.model.shapes import projections
from llm.core.model.sizes import Sizes
from llm.estimate.memory import granularity
from llm.estimate.model_sizes import adapters, stages
from llm.estimate.plan import Plan
from llm.estimate.traffic import RECOMPUTED, Transfer, on_the_wire

GROUPS = ("tensor", "sharding", "pipeline", "data")  # neighbours first


@dataclass(frozen=True)
class Hardware:
    """Assumptions about a GPU and what connects it to others."""

    peak: float  # operations a second
    link: float  # bytes a second that it sends to others of its node
    network: float  # bytes a second that it sends to other nodes
    gpus_per_node: int


def floor(sizes: Sizes, plan: Plan, sent: list[Transfer], hardware: Hardware) -> dict[str, float]:
    """Seconds of an update: `compute` of the stage with most of it at its peak rate, `bubble` in which it waits for
    other stages, `communication` by groups; `least` if all of that is hidden behind computing, `one_by_one` if nothing
    is."""
    compute = max(operations(stage, plan) for stage in stages(sizes, plan.pipeline)) / hardware.peak
    bubble = compute * (plan.pipeline - 1) / plan.micro_batches
    by_group = dict.fromkeys(GROUPS, 0.0)
    for transfer in sent:
        ranks, rate = ranks_of(plan)[transfer.group], rate_of(plan, transfer, hardware)
        by_group[transfer.group] += on_the_wire(transfer.kind, transfer.payload, ranks) / rate
    communication = sum(by_group.values())
    return {
        "compute": compute,
        "bubble": bubble,
        **by_group,
        "least": max(compute + bubble, communication),
        "one_by_one": compute + bubble + communication,
    }


def operations(sizes: Sizes, plan: Plan) -> int:
    """Of a rank in an update: products with weights, two operations for each weight and token, forward and for both
    gradients. Left out are attention itself, which depends on the length of the solutions, the head, of which two rows
    are multiplied (in fine-tuning for the tokens that are learnt, whose share only the data knows), and everything that
    is not a matrix product. A reference adds a forward pass."""
    of_layer = {name: inputs * outputs for name, (inputs, outputs) in projections(sizes).items()}
    matrices = sum(of_layer.values())
    again = sum(of_layer[name] for name in RECOMPUTED[granularity(sizes, plan)])
    layers = sizes.num_hidden_layers
    multiplied = layers * (3 * matrices + again)
    if plan.asks_reference:
        multiplied += layers * matrices
    if plan.lora_rank:
        adapted = sum(size for name, size in adapters(sizes, plan.lora_rank, list(plan.lora_targets)) if name == "lora")
        multiplied += 3 * adapted - layers * matrices  # frozen weights have no gradients
    return 2 * plan.micro_batches * plan.rows * plan.tokens * multiplied // plan.tensor_parallel


def ranks_of(plan: Plan) -> dict[str, int]:
    sharded = plan.sharded_ranks if plan.sharding else 1
    return dict(zip(GROUPS, (plan.tensor_parallel, sharded, plan.pipeline, plan.data_parallel), strict=True))


def rate_of(plan: Plan, transfer: Transfer, hardware: Hardware) -> float:
    """Bytes a second. A group that spans nodes has the network of all its members in a node: its rings go through each
    of them. A stage sends through its own GPU's alone."""
    ranks, distance = ranks_of(plan), 1
    for group in GROUPS[: GROUPS.index(transfer.group)]:
        distance *= ranks[group]  # between neighbours of the group
    together = max(hardware.gpus_per_node // distance, 1)
    if ranks[transfer.group] <= together:
        return hardware.link
    if transfer.kind == "send":
        return hardware.network
    return min(hardware.link, together * hardware.network)
