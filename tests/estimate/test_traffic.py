"""What a rank sends: the formulas against sums by hand. tests/benchmark/test_scaling.py counts what processes send."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llm.core.model.sizes import Sizes
from llm.estimate.memory import every_stage as memory_of_stages
from llm.estimate.model_sizes import count, stages, tensors
from llm.estimate.plan import Plan
from llm.estimate.traffic import every_stage, on_the_wire, sums, traffic
from tests.estimate.small_plan import PLAN, SMALL

PARAMETERS = count(tensors(SMALL))
STREAM = 4 * 3 * 5 * 8 * 4  # micro-batches, rows, tokens, hidden size, float32
TENSOR = replace(PLAN, tensor_parallel=2)
INPUTS = 4 * 3 * 5 * (8 + 8 + 4)


def sent(plan: Plan, sizes: Sizes = SMALL) -> dict[str, int]:
    return sums(traffic(sizes, plan))


def test_one_process_sends_nothing():
    assert sent(PLAN) == {}


def test_gradients_are_sent_once_an_update_but_by_stage_2_and_3_with_every_micro_batch():
    vectors = sum(size for name, size in tensors(SMALL) if name == "norm")
    matrices = PARAMETERS - vectors
    assert sent(replace(PLAN, data_parallel=2)) == {"all_reduce": 4 * PARAMETERS}
    sharded = [replace(PLAN, sharding=stage, sharded_ranks=2) for stage in ("stage1", "stage2", "stage3")]
    assert sent(sharded[0]) == {"reduce": 4 * PARAMETERS, "broadcast": 4 * PARAMETERS}
    assert sent(sharded[1]) == {"reduce": 4 * 4 * PARAMETERS, "broadcast": 4 * PARAMETERS}
    assert sent(sharded[2]) == {"all_gather": 2 * 4 * 4 * matrices, "all_reduce": 4 * (4 * matrices + vectors)}
    split = sent(replace(sharded[0], split_parameters=True))
    assert split == {"reduce_scatter": 4 * PARAMETERS, "all_gather": 4 * PARAMETERS}


def test_gradients_and_weights_have_their_own_precision():
    plan = replace(PLAN, precision="bf16 O2", float32_gradients=True, sharding="stage1", sharded_ranks=2)
    assert sent(plan) == {"reduce": 4 * PARAMETERS, "broadcast": 2 * PARAMETERS}


def test_stage_3_brings_what_is_recomputed_together_again():
    plan = replace(PLAN, sharding="stage3", sharded_ranks=2)
    matrices = sum(size for name, size in tensors(SMALL) if name not in ("norm", "embed_tokens", "lm_head"))
    for granularity, share in (("core_attn", 0), ("full_attn", 4 * 4 * 8 * 8), ("full", matrices)):
        more = sent(replace(plan, recompute=granularity))["all_gather"] - sent(plan)["all_gather"]
        assert more == 4 * 4 * share


def test_tensor_parallelism_sums_twice_a_layer_forward_and_five_times_backward():
    """q, k, v, gate and up each sum the gradient of what they read. Besides the embedding, and two rows of the head."""
    head = 4 * 2 * 8 * 4
    assert sent(TENSOR) == {"all_reduce": (4 * 7 + 1) * STREAM + head, "broadcast": INPUTS}
    assert sent(replace(TENSOR, recompute="full_attn"))["all_reduce"] == (4 * 8 + 1) * STREAM + head
    assert sent(replace(TENSOR, recompute="full"))["all_reduce"] == (4 * 9 + 1) * STREAM + head


def test_sequence_parallelism_gathers_before_and_scatters_behind():
    found = sent(replace(TENSOR, sequence_parallel=True))
    assert found["reduce_scatter"] == 4 * 7 * STREAM
    assert found["all_gather"] == (4 * 7 + 2) * STREAM  # and at both ends of the model
    assert found["all_reduce"] == STREAM + 4 * 2 * 8 * 4 + 4 * (4 * 2 + 1) * 8  # embedding, head, gradients of norms


def test_a_stage_sends_tokens_on_and_gradients_back():
    positions = 4 * 3 * 5 * (8 + 4)
    stages_of_four = every_stage(SMALL, replace(PLAN, pipeline=4))
    assert [sums(stage)["send"] for stage in stages_of_four] == [
        STREAM + positions,
        2 * STREAM + positions,
        2 * STREAM + positions,
        STREAM,
    ]
    tied = replace(SMALL, tie_word_embeddings=True)
    shared = [sums(stage).get("all_reduce", 0) for stage in every_stage(tied, replace(PLAN, pipeline=4))]
    assert shared == [4 * 80, 0, 0, 4 * 80]


def test_beside_tensor_parallelism_every_rank_sends_a_part():
    first = every_stage(SMALL, replace(TENSOR, pipeline=2))[0]
    positions = 4 * 3 * 5 * (8 + 4)
    assert sums(first)["send"] == (STREAM + positions) // 2
    assert sums(first)["all_gather"] == STREAM
    whole = every_stage(SMALL, replace(TENSOR, pipeline=2, partial_sends=False))[0]
    assert sums(whole)["send"] == STREAM + positions and "all_gather" not in sums(whole)


@pytest.mark.parametrize(
    "layers, pipeline, shares", [(4, 2, [2, 2]), (5, 2, [3, 2]), (80, 3, [26, 28, 26]), (5, 3, [1, 3, 1])]
)
def test_layers_that_cannot_be_dealt_out_evenly_are_with_embedding_norm_and_head(layers, pipeline, shares):
    found = stages(replace(SMALL, num_hidden_layers=layers), pipeline)
    assert [stage.num_hidden_layers for stage in found] == shares
    assert [stage.is_first for stage in found] == [True] + [False] * (pipeline - 1)
    assert [stage.is_last for stage in found] == [False] * (pipeline - 1) + [True]
    assert sum(count(tensors(stage)) for stage in found) == count(tensors(replace(SMALL, num_hidden_layers=layers)))


def test_the_first_stage_keeps_a_micro_batch_for_every_stage():
    plans = [replace(PLAN, pipeline=4, micro_batches=micro_batches) for micro_batches in (1, 2, 16)]
    for plan, kept in zip(plans, ([1, 1, 1, 1], [2, 2, 2, 1], [4, 3, 2, 1]), strict=True):
        found = [stage["activations"] for stage in memory_of_stages(SMALL, plan)]
        of_one = [stage["activations"] for stage in memory_of_stages(SMALL, plans[0])]
        assert found == [one * times for one, times in zip(of_one, kept, strict=True)]


def test_a_ring_carries_a_sum_twice():
    expected = {"all_reduce": 120, "all_gather": 60, "reduce_scatter": 60, "broadcast": 80, "send": 80}
    assert {kind: on_the_wire(kind, 80, 4) for kind in expected} == expected


def test_a_reference_adds_its_forward_pass():
    numbers = 4 * 3 * 5 * 3 * 4 * 2
    for plan, more in (
        (TENSOR, {"all_reduce": (4 * 2 + 1) * STREAM, "all_gather": numbers}),
        (
            replace(TENSOR, sequence_parallel=True),
            {"all_gather": (4 * 5 + 1) * STREAM + numbers, "reduce_scatter": 4 * 2 * STREAM, "all_reduce": STREAM},
        ),
        (replace(PLAN, data_parallel=2), {}),
    ):
        without, asked = (sent(replace(plan, learns_text=True, asks_reference=asks)) for asks in (False, True))
        assert {kind: size - without[kind] for kind, size in asked.items() if size != without[kind]} == more
