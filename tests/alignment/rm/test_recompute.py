"""Activations that are recomputed in the backward pass change no number, in any layout; and they are recomputed."""

import json

import pytest

from tests.factories import twelve_updates
from tests.runs import STACK, assert_same_runs, ends_of_ranks, train_ranks

pytestmark = pytest.mark.runs

# how often a part is computed in an update, by recompute_granularity
TWICE = {
    "full": {"layer", "attention", "mlp", "core"},
    "full_attn": {"attention", "core"},
    "core_attn": {"core"},
}
LAYOUTS = {
    "tensor parallel": {"tensor_parallel_degree": 2},
    "sequence parallel": {"tensor_parallel_degree": 2, "sequence_parallel": True},
    "pipeline": {"pipeline_parallel_degree": 2},
    "sharding stage 2": {"sharding": "stage2"},
    "sharding stage 3": {"sharding": "stage3"},
}
ROWS, LAYERS = 4, 2  # of an update, one in a micro-batch; of the model


def run(tiny, folder, ranks: int, **changes):
    """(its folder, how often parts of the layers were computed in the first update by all ranks, what it showed)"""
    short = {"max_steps": 3, "logging_steps": 1, "do_eval": False, "save_strategy": "no"}
    flags = twelve_updates(
        tiny, folder, **{"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4, **short, **changes}
    )
    shown = train_ranks(flags, folder, ranks, count_forwards={"file": str(folder / "count")})
    counts = [json.loads((folder / f"count.{rank}").read_text()) for rank in range(ranks)]
    return folder / "out", {name: sum(count[name] for count in counts) for name in counts[0]}, shown


@pytest.fixture(scope="module")
def kept(tiny, tmp_path_factory):
    """One process that keeps its activations."""
    out, counts, _ = run(tiny, tmp_path_factory.mktemp("kept"), 1)
    assert set(counts.values()) == {ROWS * LAYERS}
    return out


@pytest.mark.parametrize("granularity", TWICE)
def test_one_process(granularity, kept, tiny, tmp_path):
    out, counts, _ = run(tiny, tmp_path, 1, recompute=True, recompute_granularity=granularity)
    assert {name for name, count in counts.items() if count == 2 * ROWS * LAYERS} == TWICE[granularity]
    assert {name for name, count in counts.items() if count == ROWS * LAYERS} == counts.keys() - TWICE[granularity]
    assert_same_runs(kept, out)


@pytest.mark.distributed
@pytest.mark.parametrize("layout", LAYOUTS)
def test_whole_layers_in_every_layout(layout, kept, tiny, tmp_path):
    changes = LAYOUTS[layout]
    data_ranks = 2 if "sharding" in changes else 1
    accumulation = ROWS // data_ranks
    out, counts, shown = run(
        tiny, tmp_path, 2, recompute=True, gradient_accumulation_steps=accumulation, fp16_opt_level="O1", **changes
    )
    copies = 2 if "tensor_parallel_degree" in changes else 1  # ranks that compute a part of the same layer
    assert set(counts.values()) == {2 * ROWS * LAYERS * copies}
    assert_same_runs(kept, out, 1e-4)
    assert "fp16_opt_level O1: training is in float32, so it changes nothing" in shown


@pytest.mark.distributed
def test_weights_in_bfloat16_are_refused_by_ranks_without_a_gpu(tiny, tmp_path):
    for end in ends_of_ranks(twelve_updates(tiny, tmp_path, bf16=True, fp16_opt_level="O2"), tmp_path):
        assert end.code == 2 and STACK not in end.shown
        assert 'fp16_opt_level = "O2": on a CPU weights that train are in float32' in end.shown
    assert not (tmp_path / "out").exists()
