"""Whole runs with lora true: what they leave, repeat, go on from and refuse."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm.alignment.rm.flashmask.run_reward import main
from llm.export.merging import merge
from llm.scoring.scorer import Scorer
from tests.runs import assert_same_runs, history, kill_at, refusal, train_ranks

pytestmark = pytest.mark.runs

SOLUTION = {"question": "1 + 1?", "steps": ["2", "3"]}


def lora(settings_of, **changes):
    return settings_of(**{"lora": True, "lora_rank": 4, "learning_rate": 0.01, "warmup_steps": 0, **changes})


def adapters(folder: Path) -> dict:
    return load_file(folder / "peft_model-00001-of-00001.safetensors")


def test_a_run_saves_adapters_and_reward_rows_and_not_the_base(settings_of, tiny, tmp_path, capsys):
    """Rows that are not saved would score as the base's after the training. In the checkpoints nothing else stands
    either: the optimiser's state is of what trains."""
    before = {path.name: path.read_bytes() for path in (tiny / "model").iterdir() if path.is_file()}
    main(lora(settings_of, load_best_model_at_end=False))
    out, shown = tmp_path / "out", capsys.readouterr().out
    parameters = 2 * (4 * (32 + 32) * 2 + 4 * (32 + 16) * 2 + 4 * (32 + 64) * 3) + 2 * 32
    assert f"LoRA: {parameters:,} of" in shown and "adapters of rank 4 in 14 layers (q_proj, " in shown
    for folder in (out, out / "checkpoint-3", out / "checkpoint-6"):
        weights = adapters(folder)
        assert sum(array.size for array in weights.values()) == parameters
        assert weights["reward_rows"].shape == (2, 32)
        assert all(np.abs(weights[name]).max() > 1e-3 for name in weights if name.endswith("lora_B"))
        config = json.loads((folder / "lora_config.json").read_text())
        assert config["base_model_name_or_path"] == str(tiny / "model")
        assert {"config.json", "tokenizer_config.json"} <= {path.name for path in folder.iterdir()}
        assert not list(folder.glob("model*"))
    state = load_file(out / "checkpoint-6" / "optimizer-00001-of-00001.safetensors")
    moments = {name: array for name, array in state.items() if "moment" in name}
    assert {name.rpartition("/")[0] for name in moments} == adapters(out).keys()
    assert sum(array.size for array in moments.values()) == 2 * parameters
    assert json.loads((out / "settings.json").read_text())["lora"] is True
    assert before == {path.name: path.read_bytes() for path in (tiny / "model").iterdir() if path.is_file()}


def test_equal_seeds_give_equal_losses_and_another_seed_others(settings_of, tmp_path):
    """The adapters start at random: what draws them must have been seeded."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        main(lora(settings_of, output_dir=tmp_path / name, seed=seed, load_best_model_at_end=False))
    assert_same_runs(tmp_path / "a", tmp_path / "b", 0)
    for name, array in adapters(tmp_path / "a").items():
        np.testing.assert_array_equal(adapters(tmp_path / "b")[name], array)
    name = "llama.layers.0.self_attn.q_proj.lora_A"
    assert np.abs(adapters(tmp_path / "a")[name] - adapters(tmp_path / "c")[name]).max() > 0.01


@pytest.mark.parametrize("unified", [True, False])
def test_a_killed_run_resumes_to_the_losses_of_the_run_that_was_not_killed(settings_of, tmp_path, unified):
    changes = {"max_steps": 9, "save_steps": 4, "eval_steps": 4, "logging_steps": 3, "unified_checkpoint": unified}
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    main(lora(settings_of, output_dir=straight, **changes))
    flags = lora(settings_of, output_dir=killed, **changes)
    kill_at(killed / "checkpoint-4/checkpoint_files.json", flags, tmp_path)
    train_ranks(flags, tmp_path, ranks=1)
    assert_same_runs(straight, killed, 1e-6)
    if unified:
        for name, array in adapters(straight).items():
            np.testing.assert_allclose(adapters(killed)[name], array, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("unified", [True, False])
def test_the_best_checkpoint_is_the_model_at_the_end(settings_of, tmp_path, unified):
    """More loss is called better, so that the best is not the last; it is in memory, in the folder and scored."""
    results = main(
        lora(
            settings_of,
            learning_rate=1e-2,
            max_steps=9,
            greater_is_better=True,
            load_best_model_at_end=True,
            unified_checkpoint=unified,
        )
    )
    out = tmp_path / "out"
    curve = json.loads((out / "trainer_state.json").read_text())["log_history"]
    losses = {log["step"]: log["eval_loss"] for log in curve if "eval_loss" in log}
    best = max(losses, key=losses.get)
    assert best < 9 and losses[9] < losses[best] - 0.01
    assert results["eval_loss"] == pytest.approx(losses[best], rel=1e-6)
    if unified:
        for name, array in adapters(out / f"checkpoint-{best}").items():
            np.testing.assert_array_equal(adapters(out)[name], array)
    merge(out, tmp_path / "merged")
    again = main(settings_of(model_name_or_path=tmp_path / "merged", output_dir=tmp_path / "again", do_train=False))
    assert again["eval_loss"] == pytest.approx(losses[best], rel=1e-4)


@pytest.mark.parametrize("unified", [True, False])
def test_the_scorer_scores_adapters_as_the_evaluation_did(settings_of, tiny, tmp_path, unified):
    results = main(lora(settings_of, unified_checkpoint=unified, learning_rate=1e-3, max_seq_len=512))
    scorer, losses = Scorer.load(tmp_path / "out"), []
    for line in (tiny / "dev.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        scores = scorer.score([record])[0].steps
        losses += [-np.log(p if label == "+" else 1 - p) for p, label in zip(scores, record["labels"], strict=True)]
    assert np.mean(losses) == pytest.approx(results["eval_loss"], rel=1e-5)


@pytest.mark.parametrize(
    "changes", [{"recompute": True}, {"gradient_accumulation_steps": 1, "per_device_train_batch_size": 8}]
)
def test_recomputing_and_splitting_a_batch_change_no_loss(settings_of, tmp_path, changes):
    """The norm in the log is of what trains, and it is clipped by it."""
    for name, more in (("a", {}), ("b", changes)):
        main(lora(settings_of, output_dir=tmp_path / name, max_grad_norm=0.5, **more))
    assert_same_runs(tmp_path / "a", tmp_path / "b", 2e-5)
    assert history(tmp_path / "a")[1, False]["gradient_norm"] > 0.5


@pytest.mark.distributed
def test_two_ranks_equal_one_process(settings_of, tmp_path):
    """They share the optimiser's state, which is of the adapters and rows alone."""
    changes = {"zero_padding": False, "gradient_accumulation_steps": 1, "max_steps": 4, "save_steps": 2}
    one, two = tmp_path / "one", tmp_path / "two"
    main(lora(settings_of, output_dir=one, per_device_train_batch_size=56, **changes))
    train_ranks(lora(settings_of, output_dir=two, per_device_train_batch_size=28, **changes), tmp_path)
    for at, values in history(one).items():
        name = "eval_loss" if at[1] else "loss"
        assert history(two)[at][name] == pytest.approx(values[name], rel=1e-4)
    expected, found = (Scorer.load(out).score([SOLUTION])[0].steps for out in (one, two))
    assert found == pytest.approx(expected, rel=1e-4)


def test_preferences_train_adapters_too(settings_of, tiny, tmp_path):
    flags = {"process_reward": False, "dev_dataset_path": tiny / "pairs.jsonl"}
    results = main(lora(settings_of, train_dataset_path=tiny / "pairs.jsonl", max_steps=12, save_steps=12, **flags))
    assert results["eval_loss"] < history(tmp_path / "out")[1, False]["loss"] - 0.05
    merge(tmp_path / "out", tmp_path / "merged")
    again = main(
        settings_of(model_name_or_path=tmp_path / "merged", output_dir=tmp_path / "again", do_train=False, **flags)
    )
    for name in ("eval_loss", "eval_margin_mean"):
        assert again[name] == pytest.approx(results[name], rel=1e-4)


def test_a_finished_run_and_one_of_another_form_in_the_same_folder(settings_of, tmp_path, capsys):
    """Started again it keeps its model; with overwrite_output_dir no file of the old form stays to be taken for it."""
    results = main(lora(settings_of))
    before = adapters(tmp_path / "out")
    assert main(lora(settings_of))["eval_loss"] == pytest.approx(results["eval_loss"], rel=1e-6)
    for name, array in adapters(tmp_path / "out").items():
        np.testing.assert_array_equal(before[name], array)
    assert "lora: True in the checkpoint, False now" in refusal(capsys, settings_of())
    assert "lora_rank: 4 in the checkpoint, 2 now" in refusal(capsys, lora(settings_of, lora_rank=2))
    for changes, file in (
        ({"unified_checkpoint": False}, "lora_model_state.pdparams"),
        ({"lora": False}, "model-00001-of-00001"),
        ({"lora": False, "unified_checkpoint": False}, "model_state.pdparams"),
        ({}, "peft_model-00001-of-00001"),
    ):
        flags = {"lora_rank": 8, "max_steps": 1, "load_best_model_at_end": False, "overwrite_output_dir": True}
        main(lora(settings_of, **flags, **changes))
        names = [path.name for path in (tmp_path / "out").iterdir()]
        weights = [name for name in names if name.endswith((".safetensors", ".pdparams"))]
        assert len(weights) == 1 and weights[0].startswith(file)
        assert ("lora_config.json" in names) == ("lora" not in changes)
        assert Scorer.load(tmp_path / "out").score([SOLUTION])


def test_an_adapter_is_no_model_to_start_from(settings_of, tmp_path, capsys):
    for unified in (True, False):
        out = tmp_path / str(unified)
        main(lora(settings_of, output_dir=out, max_steps=3, unified_checkpoint=unified))
        for folder in (out, out / "checkpoint-3"):
            message = refusal(capsys, settings_of(model_name_or_path=folder, output_dir=tmp_path / "further"))
            assert f"{folder} holds LoRA adapters" in message and f"python -m llm merge-lora {folder}" in message


@pytest.mark.parametrize(
    "changes, reasons",
    [
        ({"lora": False, "lora_rank": 4}, ["lora_rank = 4: lora is false"]),
        (
            {"lora": ..., "lora_rank": 8, "lora_target_modules": ["q_proj"]},
            ["lora_rank = 8: lora is false", 'lora_target_modules = ["q_proj"]: lora is false'],
        ),
        (
            {"lora_rank": 0, "lora_alpha": -1},
            ["lora_rank = 0: must be from 1 to 65536", "lora_alpha = -1: must be from 1 to 65536"],
        ),
        ({"prm_loss": "vocabulary"}, ['prm_loss = "vocabulary": with lora only two rows of the head train']),
        ({"lora_target_modules": ["q_proj", "query"]}, ["no layer that can have adapters is called 'query';"]),
    ],
)
def test_what_cannot_be_is_refused(settings_of, tmp_path, capsys, changes, reasons):
    message = refusal(capsys, settings_of(**{"lora": True, **changes}))
    for reason in reasons:
        assert reason in message
    assert "'q_proj'" not in message


def test_settings_that_a_run_left_behind_may_be_used_again(settings_of, tiny, tmp_path):
    """They name lora_rank and the others beside "lora": false."""
    main(settings_of(max_steps=1))
    results = main([str(tmp_path / "out" / "settings.json"), "--output_dir", str(tmp_path / "again")])
    assert results["train_steps"] == 1


def test_a_base_with_other_weights_than_before_is_refused(settings_of, tiny, tmp_path, capsys):
    """Adapters on other weights would score something, and go on training on it, without a word."""
    base = shutil.copytree(tiny / "model", tmp_path / "base")
    flags = {"model_name_or_path": base, "load_best_model_at_end": False}
    main(lora(settings_of, **flags))
    Scorer.load(tmp_path / "out")
    (file,) = base.glob("*.safetensors")
    weights = load_file(file)
    save_file({name: array * 1.01 for name, array in weights.items()}, file, metadata={"format": "np"})
    with pytest.raises(ValueError, match="for weights other than those"):
        Scorer.load(tmp_path / "out")
    with pytest.raises(ValueError, match="for weights other than those"):
        merge(tmp_path / "out", tmp_path / "merged")
    assert "base_weights" in refusal(capsys, lora(settings_of, **flags))
