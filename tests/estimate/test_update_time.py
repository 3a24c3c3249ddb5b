"""The least time of an update: products, waiting stages, bytes over the slowest connection."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llm.core.model.sizes import KNOWN
from llm.estimate.plan import Plan
from llm.estimate.traffic import Transfer
from llm.estimate.update_time import Hardware, floor, operations, rate_of
from tests.estimate.small_plan import PLAN, SMALL

TOKENS, LAYER, ATTENTION = 4 * 3 * 5, 4 * 8 * 8 + 3 * 8 * 16, 4 * 8 * 8
HARDWARE = Hardware(peak=1000, link=450, network=50, gpus_per_node=8)


def test_two_operations_for_every_weight_and_token_forward_and_for_both_gradients():
    assert operations(SMALL, PLAN) == 6 * TOKENS * 4 * LAYER
    assert operations(SMALL, replace(PLAN, tensor_parallel=2)) == 3 * TOKENS * 4 * LAYER
    assert operations(SMALL, replace(PLAN, recompute="full")) == 8 * TOKENS * 4 * LAYER
    assert operations(SMALL, replace(PLAN, recompute="full_attn")) == TOKENS * 4 * (6 * LAYER + 2 * ATTENTION)


def test_frozen_weights_have_no_gradients_of_their_own():
    adapters = 2 * (4 * (8 + 8) + 3 * (8 + 16))  # of rank 2: inputs and outputs of seven matrices
    assert operations(SMALL, replace(PLAN, lora_rank=2)) == 2 * TOKENS * 4 * (2 * LAYER + 3 * adapters)


def test_a_reference_adds_a_forward_pass():
    assert operations(SMALL, replace(PLAN, asks_reference=True)) == 8 * TOKENS * 4 * LAYER


def test_a_pipeline_waits_for_its_other_stages():
    """(p - 1) / (m + p - 1) of the whole time."""
    seconds = floor(SMALL, replace(PLAN, pipeline=2), [], HARDWARE)
    assert seconds["compute"] == operations(SMALL, PLAN) / 2 / 1000
    assert seconds["bubble"] / (seconds["bubble"] + seconds["compute"]) == pytest.approx(1 / (4 + 1))
    assert seconds["least"] == seconds["one_by_one"] == seconds["compute"] + seconds["bubble"]


def test_what_is_sent_is_hidden_behind_computing_or_not():
    plan = replace(PLAN, data_parallel=2)
    gradients = (Transfer("data", "all_reduce", size, "") for size in (450 * 10**6, 450))
    slow, fast = (floor(SMALL, plan, [transfer], HARDWARE) for transfer in gradients)
    assert (slow["data"], fast["data"]) == (10**6, 1)
    assert slow["least"] == 10**6 and slow["one_by_one"] == slow["compute"] + 10**6
    assert fast["least"] == fast["compute"] and fast["one_by_one"] == fast["compute"] + 1


@pytest.mark.parametrize(
    "plan, group, kind, rate",
    [
        (replace(PLAN, tensor_parallel=8), "tensor", "all_reduce", 450),
        (replace(PLAN, tensor_parallel=16), "tensor", "all_reduce", 400),  # eight members in a node
        (replace(PLAN, sharding="stage1", sharded_ranks=64), "sharding", "reduce", 400),
        (replace(PLAN, tensor_parallel=4, sharding="stage1", sharded_ranks=2), "sharding", "reduce", 450),
        (replace(PLAN, tensor_parallel=4, sharding="stage1", sharded_ranks=4), "sharding", "reduce", 100),
        (replace(PLAN, tensor_parallel=8, data_parallel=2), "data", "all_reduce", 50),
        (replace(PLAN, tensor_parallel=2, pipeline=4), "pipeline", "send", 450),
        (replace(PLAN, tensor_parallel=2, pipeline=8), "pipeline", "send", 50),
    ],
)
def test_a_group_is_as_fast_as_its_slowest_connection(plan, group, kind, rate):
    assert rate_of(plan, Transfer(group, kind, 1, ""), HARDWARE) == rate


def test_seven_billion_parameters_and_a_million_tokens_by_hand():
    """6 operations for each of the 6.98 billion weights in Mistral's layers and a token."""
    plan = Plan(rows=1, tokens=2**10, precision="bf16 O2", micro_batches=2**10)
    layers = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    assert round(layers / 1e9, 2) == 6.98
    assert operations(KNOWN["mistralai/Mistral-7B-v0.1"], plan) == 6 * layers * 2**20
