"""Runs of run_reward.main into a folder where there was a run before: killed, finished, still running or another."""

import json

import numpy as np
import pytest

from llm.alignment.rm.flashmask.run_reward import main
from llm.core.checkpoint import output_folder
from tests.runs import assert_same_runs, history, kill_at, refusal, weights

pytestmark = pytest.mark.runs


def test_a_killed_run_resumes_to_the_losses_of_the_run_that_was_not_killed(settings_of, tmp_path):
    """Killed while its first checkpoint is half-written, and the next time between two logs: logging_steps 3 does not
    divide save_steps 4, so the sums since the last log must survive, too. A pass has 5 updates, so the order of later
    passes matters."""
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    changes = {
        "max_steps": 13,
        "logging_steps": 3,
        "save_steps": 4,
        "eval_steps": 4,
        "zero_padding": False,
        "per_device_train_batch_size": 12,
    }
    main(settings_of(output_dir=straight, **changes))
    flags = settings_of(output_dir=killed, **changes)
    for moment in ("checkpoint-4", "checkpoint-8/checkpoint_files.json"):
        kill_at(killed / moment, flags, tmp_path)
    main(flags)
    assert_same_runs(straight, killed)
    totals = [json.loads((out / "train_results.json").read_text()) for out in (straight, killed)]
    assert totals[0]["train_loss"] == pytest.approx(totals[1]["train_loss"], rel=1e-6)
    assert totals[0]["train_tokens"] == totals[1]["train_tokens"]
    for name, value in weights(straight).items():
        np.testing.assert_allclose(weights(killed)[name], value, rtol=1e-5, atol=1e-6)


def test_half_written_checkpoints_are_passed_over(settings_of, tmp_path, capsys):
    main(settings_of(load_best_model_at_end=False))
    out = tmp_path / "out"
    newest = out / "checkpoint-6"
    file = newest / "optimizer-00001-of-00001.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    before = history(out)
    main(settings_of(load_best_model_at_end=False))
    shown = capsys.readouterr().out
    assert "ignored checkpoint-6" in shown and str(out / "checkpoint-3") in shown
    assert history(out)[6, False] == pytest.approx(before[6, False], rel=1e-6)


def test_a_finished_run_started_again_trains_no_further_step(settings_of, tmp_path):
    main(settings_of())
    before = weights(tmp_path / "out")
    results = main(settings_of())
    assert results["train_steps"] == 6
    for name, value in weights(tmp_path / "out").items():
        np.testing.assert_array_equal(before[name], value)


def test_a_checkpoint_that_would_be_deleted_before_it_is_read_is_refused(settings_of, tmp_path, capsys):
    main(settings_of())
    checkpoint = tmp_path / "out" / "checkpoint-3"
    message = refusal(capsys, settings_of(resume_from_checkpoint=checkpoint, overwrite_output_dir=True))
    assert "overwrite_output_dir = true: would delete" in message and checkpoint.is_dir()


def test_a_second_run_that_writes_into_the_same_folder_is_refused(settings_of, tmp_path, capsys):
    """Their checkpoints would be taken for one run's."""
    (tmp_path / "out").mkdir()
    with output_folder.locked(tmp_path / "out"):
        assert "another process is writing to this folder now" in refusal(capsys, settings_of())
    assert main(settings_of(max_steps=1))["train_steps"] == 1


def test_resuming_on_other_data_or_settings_is_refused_with_what_differs(settings_of, tiny, tmp_path, capsys):
    main(settings_of())
    message = refusal(capsys, settings_of(seed=7, train_dataset_path=tiny / "dev.jsonl"))
    assert "seed: 42 in the checkpoint, 7 now" in message and "data:" in message
    main(settings_of(seed=7, overwrite_output_dir=True))


def test_output_folders_with_other_files_and_the_models_own_folder_are_refused(settings_of, tiny, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    assert "thesis" not in refusal(capsys, settings_of(output_dir=tmp_path / "mine"))
    assert "folder of model_name_or_path" in refusal(capsys, settings_of(output_dir=tiny / "model"))
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refusal(capsys, settings_of(output_dir=tmp_path / "file" / "out"))


def test_a_full_disk_leaves_the_earlier_checkpoint_and_nothing_half_written(settings_of, tmp_path, monkeypatch, capsys):
    import llm.core.train.resumable_trainer as trainer

    real = trainer.checkpoints.mark_complete

    def full(folder):
        if folder.name == "checkpoint-6":
            raise OSError(28, "No space left on device")
        real(folder)

    monkeypatch.setattr(trainer.checkpoints, "mark_complete", full)
    message = refusal(capsys, settings_of(load_best_model_at_end=False))
    assert "No space left on device" in message and "checkpoint-6" in message
    folders = {path.name for path in (tmp_path / "out").glob("checkpoint-*")}
    assert folders == {"checkpoint-3"}


def test_a_run_killed_while_writing_its_first_file_starts_again(settings_of, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "settings.json.123.part").write_text("{")
    assert main(settings_of(max_steps=1))["train_steps"] == 1
