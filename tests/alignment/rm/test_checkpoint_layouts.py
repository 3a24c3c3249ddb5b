"""A checkpoint that was saved under one layout goes on under another as the run that was not stopped."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm.alignment.rm.flashmask.run_reward import main
from tests.alignment.rm.layout_runs import ONE, assert_same_training, flags_of, of_update, train
from tests.runs import refusal, train_ranks

pytestmark = [pytest.mark.runs, pytest.mark.distributed]

CHECKPOINT = {"steps": "checkpoint-3", "pairs": "checkpoint-3", "few": "checkpoint-4", "tied": "checkpoint-3"}
LAST = "checkpoint-6"
RESUMED = [  # data, saved under, goes on under
    ("pairs", "tensor", ONE),
    ("few pairs, value", "stage1", ONE),
    ("few pairs", "pipeline", ONE),
    ("tied", "pipeline", ONE),
    ("pairs", ONE, "tensor"),
    ("steps", "stage2", "tensor"),
    ("steps", "pipeline and tensor", "tensor and stage1"),
    ("few pairs", "stage3", ONE),
    ("pairs", "tensor", "stage3"),
    ("few ranked, mlp", "stage3", ONE),
    ("few pairs, value", "pipeline and tensor", ONE),
    ("few ranked, mlp", "pipeline", "stage2"),
]


@pytest.mark.parametrize(("data", "before", "after"), RESUMED)
def test_a_checkpoint_goes_on_under_another_layout(run_of, data_sets, tmp_path, data, before, after):
    """Losses, norms, evaluations and weights; sums since the last line of the log, where one is saved between two; and
    for the few, the model with the best evaluation, which was saved before under the other layout."""
    checkpoint = run_of(data, before) / CHECKPOINT[data.split()[0]]
    resumed = train(tmp_path / "run", after, **data_sets[data], resume_from_checkpoint=checkpoint)
    straight = run_of(data, ONE)
    assert_same_training(straight, resumed)
    if after == ONE:
        wanted, found = (optimizer_of(folder / LAST) for folder in (straight, resumed))
        assert wanted.keys() == found.keys()
        for name, state in wanted.items():
            np.testing.assert_allclose(found[name], state, rtol=1e-3, atol=1e-6, err_msg=name)


def optimizer_of(checkpoint) -> dict[str, np.ndarray]:
    return load_file(checkpoint / "optimizer-00001-of-00001.safetensors")


def test_a_checkpoint_that_is_not_unified_is_refused_under_another_layout(run_of, data_sets, tmp_path, capsys):
    checkpoint = run_of("few steps", "stage3 in files of its own") / "checkpoint-4"
    flags = flags_of(tmp_path / "run", **of_update(4, 2), **data_sets["few steps"])
    message = refusal(capsys, [*flags, "--resume_from_checkpoint", str(checkpoint)])
    assert "layout: 'ranks 2," in message and "sharding stage3' in the checkpoint, 'any' now" in message


def test_a_finished_run_in_files_of_its_own_is_taken_up_by_all_of_its_processes(data_sets, tmp_path):
    """The library loads the model in one of them: without the others' the evaluation would be of two models."""
    settings = data_sets["few steps"] | of_update(2, 2) | {"sharding": "", "unified_checkpoint": False}
    flags = flags_of(tmp_path, **settings, load_best_model_at_end=False)
    results = tmp_path / "out" / "eval_results.json"
    train_ranks(flags, tmp_path)
    first = json.loads(results.read_text())
    results.unlink()
    assert "starts from: " in train_ranks(flags, tmp_path)
    assert json.loads(results.read_text()) == pytest.approx(first)


def test_another_number_of_rows_in_an_update_is_refused_and_another_split_of_them_is_not(
    run_of, data_sets, tmp_path, capsys
):
    """Resuming would quietly count updates of another size, and take up the data elsewhere."""
    checkpoint = run_of("pairs", ONE) / CHECKPOINT["pairs"]

    def flags(batch: int, accumulation: int) -> list[str]:
        settings = data_sets["pairs"] | of_update(batch, accumulation)
        return flags_of(tmp_path / "run", **settings, resume_from_checkpoint=checkpoint)

    assert "rows of an update: 8 in the checkpoint, 16 now" in refusal(capsys, flags(4, 4))
    main(flags(1, 8))
    assert_same_training(run_of("pairs", ONE), tmp_path / "run" / "out")
