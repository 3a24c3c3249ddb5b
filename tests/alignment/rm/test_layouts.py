"""Every layout of several processes trains what one process trains on the same rows."""

from __future__ import annotations

import json
import shutil

import numpy as np
import paddle
import pytest

from tests.alignment.rm.layout_runs import ONE, assert_same_training, weights_of
from tests.runs import train_ranks

pytestmark = [pytest.mark.runs, pytest.mark.distributed]

# Not every combination: each layout, family, payload, head and ranking loss appears, each family and each head under a
# layout that divides layers' matrices and under one that divides layers, rows or weights, and data of fewer rows than
# ranks under every layout that deals rows to ranks. Sequence parallelism of Llama: test_recompute.py; of adapters:
# test_head_runs.py; stage 1 by itself: test_two_nodes.py, too.
RUNS = [
    ("steps", "stage2"),
    ("steps", "pipeline and tensor"),
    ("four layers", "four stages"),
    ("pairs", "tensor"),
    ("few pairs", "stage3"),
    ("few pairs", "pipeline"),
    ("few steps", "data"),
    ("few steps", "stage3 in files of its own"),
    ("tied", "tensor"),
    ("tied", "pipeline"),
    ("qwen3", "tensor and stage1"),
    ("qwen3", "sequence"),
    ("qwen3", "pipeline"),
    ("linear", "tensor and stage1"),
    ("few ranked, mlp", "stage2"),
    ("few ranked, mlp", "stage3"),
    ("few ranked, mlp", "pipeline"),
    ("few quantiles", "pipeline and tensor"),
    ("few pairs, value", "stage1"),
    ("few pairs, value", "pipeline and tensor"),
    ("tied, mlp", "pipeline"),
]


@pytest.mark.parametrize(("data", "layout"), RUNS)
def test_a_layout_trains_what_one_process_trains(run_of, data, layout):
    """Losses, gradient norms, metrics and weights, read from its files as one plain model. Among the data are fewer
    rows than ranks, evaluations that end with a part of a batch, and reward rows on either rank of a divided head."""
    assert_same_training(run_of(data, ONE), run_of(data, layout))


@pytest.mark.parametrize("layout", ["data", "stage3 in files of its own"])
def test_a_finished_run_that_is_started_again_has_the_same_model(run_of, tmp_path, layout):
    """It trains no further, so that none of the library's wrappers hands the weights to all ranks."""
    before, out = run_of("few steps", layout), tmp_path / "out"
    shutil.copytree(before, out)
    train_ranks([str(before.parent / "config.json"), "--output_dir", str(out)], tmp_path)
    evaluations = [json.loads((folder / "eval_results.json").read_text()) for folder in (before, out)]
    assert evaluations[1] == pytest.approx(evaluations[0], rel=1e-6)
    first, second = weights_of(before), weights_of(out)
    assert first.keys() == second.keys()
    for name, weight in first.items():
        np.testing.assert_array_equal(weight, second[name])


def test_the_data_are_what_the_layouts_are_to_be_tried_on(run_of, tiny):
    """Literal counts: every label of the held-out data is judged once; the best of the few is not the last."""
    labels = [json.loads(line)["labels"] for line in (tiny / "dev.jsonl").read_text(encoding="utf-8").splitlines()]
    for data in ("steps", "few steps"):
        results = json.loads((run_of(data, ONE) / "eval_results.json").read_text())
        assert (results["eval_steps"], results["eval_solutions"]) == (sum(map(len, labels)), len(labels))
    for data in ("few steps", "few pairs"):
        state = json.loads((run_of(data, ONE) / "trainer_state.json").read_text())
        assert not state["best_model_checkpoint"].endswith("checkpoint-6")


def test_stage3_keeps_of_every_matrix_a_slice_on_each_rank(run_of):
    """Half of all, and some padding. Of a model this small Paddle would keep every matrix whole."""
    folder = run_of("few steps", "stage3 in files of its own")
    whole = sum(weight.size for weight in weights_of(folder).values())
    for rank in (0, 1):
        states = paddle.load(str(folder / f"checkpoint-4/optimizer.shard0{rank}.pdopt"))
        assert sum(state.size for name, state in states.items() if "moment1" in name) < 0.53 * whole


@pytest.mark.parametrize(
    ("data", "layout", "models", "optimizers"),
    [
        ("few pairs, value", "stage1", 1, 2),
        ("steps", "stage2", 1, 2),
        ("few pairs", "stage3", 2, 2),
        ("pairs", "tensor", 2, 2),
        ("qwen3", "pipeline", 2, 2),
        ("qwen3", "tensor and stage1", 2, 4),
    ],
)
def test_a_checkpoint_has_a_file_for_every_part(run_of, data, layout, models, optimizers):
    """A layout that is not obeyed would train the same, too."""
    checkpoint = run_of(data, layout) / "checkpoint-6"
    assert len(list(checkpoint.glob("model-*.safetensors"))) == models
    assert len(list(checkpoint.glob("optimizer-*.safetensors"))) == optimizers
