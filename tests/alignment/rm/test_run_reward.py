"""Whole runs of run_reward.main on a tiny model: what a run leaves, repeats and refuses."""

import json

import numpy as np
import pytest

from llm.alignment.rm.flashmask.run_reward import main
from tests.runs import assert_same_runs, history, refusal, train_ranks, weights

pytestmark = pytest.mark.runs


def test_a_run_leaves_model_settings_results_and_limited_checkpoints(settings_of, tmp_path):
    results = main(settings_of(save_total_limit=1, load_best_model_at_end=False))
    out = tmp_path / "out"
    names = {path.name for path in out.iterdir()}
    results_files = {"train_results.json", "eval_results.json", "trainer_state.json", "settings.json", "runs"}
    model_files = {"config.json", "model-00001-of-00001.safetensors", "tokenizer_config.json"}
    assert results_files | model_files | {"checkpoint-6"} <= names
    assert "checkpoint-3" not in names and not [name for name in names if "unfinished" in name]
    written = json.loads((out / "eval_results.json").read_text())
    assert written["eval_loss"] == results["eval_loss"]
    for name in ("accuracy", "balanced_accuracy", "error_f1", "auc", "first_error_accuracy", "ece"):
        assert f"eval_{name}" in written
    assert json.loads((out / "train_results.json").read_text())["train_steps"] == 6
    assert list((out / "runs").glob("vdlrecords.*"))


def test_equal_seeds_give_equal_losses_and_another_seed_others(settings_of, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        main(settings_of(output_dir=tmp_path / name, seed=seed, max_steps=4))
    assert_same_runs(tmp_path / "a", tmp_path / "b", 0)
    assert history(tmp_path / "a")[1, False]["loss"] != history(tmp_path / "c")[1, False]["loss"]


def test_splitting_a_batch_changes_neither_loss_nor_gradient_norm_nor_weights(settings_of, tmp_path):
    """8 x 1, 2 x 4 and 1 x 8 deal the same rows to an update, and a loss is divided by the weight of the whole
    update: the mean of micro-batch means would differ, as their numbers of scored steps do."""
    runs = []
    for batch, accumulation in ((8, 1), (2, 4), (1, 8)):
        out = tmp_path / f"{batch}x{accumulation}"
        main(
            settings_of(
                output_dir=out,
                per_device_train_batch_size=batch,
                gradient_accumulation_steps=accumulation,
                max_steps=8,
                zero_padding=False,
                save_steps=8,
                eval_steps=4,
            )
        )
        runs.append(out)
    for other in runs[1:]:
        assert_same_runs(runs[0], other, 2e-5)
        for name, value in weights(runs[0]).items():
            np.testing.assert_allclose(weights(other)[name], value, rtol=1e-3, atol=3e-5)


def test_packing_changes_no_metric(settings_of, tiny, tmp_path):
    """Evaluation of the same model gives the same numbers however the solutions are packed or streamed."""
    found = []
    for number, packing in enumerate(
        (
            {"zero_padding": False},
            {"zero_padding": True},
            {"greedy_zero_padding": True},
            {"lazy": True},
            {"lazy": True, "greedy_zero_padding": True, "per_device_eval_batch_size": 1},
            {"prefix_sharing": False},
            {"prefix_sharing": False, "zero_padding": False},
            {"prefix_sharing_window": 3},
        )
    ):
        flags = settings_of(output_dir=tmp_path / str(number), do_train=False, train_dataset_path=..., **packing)
        found.append(main(flags))
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)


def test_an_update_over_all_data_is_the_same_however_it_is_packed(settings_of, tmp_path):
    """Loss, accuracy and the gradient's norm of one update that takes every solution."""
    found = []
    for number, packing in enumerate(
        (
            {"prefix_sharing": False, "zero_padding": False},
            {"zero_padding": False},
            {},
            {"greedy_zero_padding": True},
            {"prefix_sharing_window": 7},
            {"lazy": True},
        )
    ):
        out = tmp_path / str(number)
        results = main(
            settings_of(
                output_dir=out,
                max_steps=1,
                per_device_train_batch_size=60,
                do_eval=False,
                load_best_model_at_end=False,
                **packing,
            )
        )
        assert results["train_solutions"] == 120
        found.append(history(out)[1, False])
        found[-1].pop("epoch", None)  # a stream has none
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)


def test_lazy_runs_train_over_the_stream_again_and_again(settings_of, tmp_path):
    results = main(
        settings_of(lazy=True, max_steps=9, zero_padding=False, prefix_sharing=False, per_device_train_batch_size=16)
    )
    assert results["train_steps"] == 9
    assert results["train_solutions"] > 120  # more than one pass


def test_a_lazy_run_reads_as_far_as_it_trains_and_stops_at_a_bad_record(settings_of, tiny, tmp_path, capsys):
    data = tmp_path / "late.jsonl"
    lines = (tiny / "train.jsonl").read_text().splitlines()
    data.write_text("\n".join([*lines, "{broken", *lines]))
    changes = {"train_dataset_path": data, "lazy": True, "prefix_sharing": False, "zero_padding": False}
    changes |= {"load_best_model_at_end": False, "overwrite_output_dir": True}
    main(settings_of(max_steps=3, **changes))
    assert "as far as it was read: 24 records read, 24 kept" in capsys.readouterr().out
    shown = refusal(capsys, settings_of(max_steps=30, **changes))
    assert "late.jsonl:121" in shown and "1 of 121 records that were read so far cannot be used" in shown
    assert json.loads((tmp_path / "out/checkpoint-15/trainer_state.json").read_text())["global_step"] == 15
    changes["overwrite_output_dir"] = False
    results = main(settings_of(max_steps=30, skip_bad_records=True, **changes))
    assert results["train_solutions"] == 240
    assert "241 records read, 240 kept, 1 dropped" in capsys.readouterr().out


def test_test_files_have_the_metrics_of_held_out_data(settings_of, tiny, tmp_path):
    folder = tmp_path / "test"
    folder.mkdir()
    (folder / "dev.jsonl").write_bytes((tiny / "dev.jsonl").read_bytes())
    results = main(settings_of(do_train=False, train_dataset_path=..., test_dataset_dir=folder))
    of_test = {name.replace("test_", "eval_"): value for name, value in results.pop("test")["dev.jsonl"].items()}
    assert of_test == pytest.approx(results)


def test_the_best_checkpoint_is_the_model_at_the_end(settings_of, tmp_path):
    """A learning rate far too high makes later evaluations worse; what is saved must be the best one."""
    main(settings_of(learning_rate=0.3, warmup_steps=0, lr_scheduler_type="constant", max_steps=9))
    out = tmp_path / "out"
    losses = {step: log["eval_loss"] for (step, evaluation), log in history(out).items() if evaluation}
    best = min(losses, key=losses.get)
    final = json.loads((out / "eval_results.json").read_text())
    assert final["eval_loss"] == pytest.approx(losses[best], rel=1e-6)
    state = json.loads((out / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"].endswith(f"checkpoint-{best}")


@pytest.mark.parametrize("lazy", [False, True])
def test_data_of_which_nothing_fits_is_refused_before_the_model_is_loaded(settings_of, capsys, lazy):
    assert "no record can be learnt from" in refusal(capsys, settings_of(max_seq_len=12, max_prompt_len=8, lazy=lazy))


def test_the_last_evaluation_is_among_the_curves(settings_of, tmp_path):
    main(settings_of(evaluation_strategy="no", max_steps=2))
    curves = b"".join(path.read_bytes() for path in (tmp_path / "out" / "runs").glob("vdlrecords.*"))
    assert b"train/loss" in curves and b"eval/loss" in curves


def test_a_metric_that_is_undefined_once_chooses_no_checkpoint_and_stops_no_run(settings_of, tmp_path):
    """Nothing is flagged by a model that always says "+": error_precision has no denominator."""
    main(settings_of(metric_for_best_model="error_precision", learning_rate=0.05, warmup_steps=0, max_steps=9))
    assert (tmp_path / "out" / "checkpoint-9").exists()


def test_the_scorer_scores_as_the_evaluation_did(settings_of, tiny, tmp_path):
    """Training, evaluation and scoring share one encoding: the accuracy over the scorer's scores is the evaluation's,
    for steps and for whole answers."""
    from llm.scoring.scorer import Scorer

    for process_reward in (True, False):
        out = tmp_path / str(process_reward)
        results = main(settings_of(output_dir=out, process_reward=process_reward, max_steps=3, max_seq_len=512))
        scorer, hits = Scorer.load(out), []
        for line in (tiny / "dev.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            labels = record["labels"] if process_reward else record["labels"][-1:]
            scores = scorer.score([record])[0].steps
            hits += [(score > 0.5) == (label == "+") for score, label in zip(scores, labels, strict=True)]
        assert len(hits) == results["eval_steps" if process_reward else "eval_answers"]
        assert np.mean(hits) == pytest.approx(results["eval_accuracy"], abs=1e-9)
        with pytest.raises(ValueError, match="at least one step"):
            scorer.score([{"question": "question", "steps": []}])


def test_a_relative_output_dir_is_below_the_working_directory(settings_of, tmp_path, monkeypatch):
    """Started as a script from another folder: test_two_nodes.py."""
    monkeypatch.chdir(tmp_path)
    main(settings_of(max_steps=2, output_dir="relative/out"))
    assert (tmp_path / "relative/out/eval_results.json").exists()


@pytest.mark.distributed
def test_two_ranks_equal_one_process(settings_of, tmp_path):
    """Data parallel over gloo: 2 ranks x 28 rows are the update of 1 rank x 56 rows. In the last update of a pass over
    the 120 rows the second rank has none."""
    changes = {"zero_padding": False, "max_steps": 4, "save_steps": 4, "eval_steps": 2, "learning_rate": 1e-4}
    main(
        settings_of(
            output_dir=tmp_path / "one", per_device_train_batch_size=56, gradient_accumulation_steps=1, **changes
        )
    )
    flags = settings_of(
        output_dir=tmp_path / "two",
        per_device_train_batch_size=28,
        gradient_accumulation_steps=1,
        sharding="",
        **changes,
    )
    train_ranks(flags, tmp_path)
    assert_same_runs(tmp_path / "one", tmp_path / "two", 1e-4)
