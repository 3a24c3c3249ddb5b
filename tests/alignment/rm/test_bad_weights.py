"""Weights that an update has made NaN, infinite or too large are not kept, and the settings are blamed, not records."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from llm.alignment.rm.flashmask.run_reward import main
from llm.core.checkpoint import checkpoints
from tests import factories
from tests.alignment.rm.short_runs import LAYOUTS, alone, disturbed, flags_of
from tests.runs import STACK, End, assert_same_runs, ends_of_ranks, history, refusal

pytestmark = pytest.mark.runs

NAN, LARGE = {"update": 3, "value": 1e300}, {"update": 3, "value": 1e12}  # learning rates
SPOILT = r"made weights NaN, infinite or larger than 65504 \(\S+"
NO_LOSS = "made the weights so large that its own records have a NaN or infinite loss now"


def kept(folder: Path) -> list[int]:
    """The checkpoints, each of which must be whole and finite, and no model but them."""
    assert not list((folder / "out").glob("*.safetensors"))
    found = checkpoints.all_checkpoints(folder / "out")
    for checkpoint in found:
        assert checkpoints.is_complete(checkpoint)
        for file in checkpoint.glob("*.safetensors"):
            assert all(abs(array).max() <= 65504 for array in load_file(file).values())
    return [checkpoints.step_of(checkpoint) for checkpoint in found]


def assert_blames_settings(message: str, update: str, what: str) -> None:
    message = " ".join(message.split())
    assert re.search(rf"error: {update} {what}", message), message
    for part in ("The records are not the cause", "learning_rate 0.001", "adam_epsilon 1e-08", "weight_decay 0"):
        assert part in message
    assert "Its records" not in message and STACK not in message


# ---- one process


@pytest.mark.parametrize("policy", ["stop", "skip"])
@pytest.mark.parametrize("rate", [NAN, LARGE], ids=["NaN", "large"])
def test_they_are_found_before_they_are_saved(tiny, tmp_path, capsys, rate, policy):
    with disturbed(rate=rate):
        message = refusal(capsys, alone(tiny, tmp_path, nan_policy=policy))
    assert_blames_settings(message, "update 3", SPOILT)
    assert kept(tmp_path) == [1, 2] and str(tmp_path / "out/checkpoint-2") in message


@pytest.mark.parametrize("policy", ["stop", "skip"])
@pytest.mark.parametrize(("faults", "what"), [({"rate": NAN}, SPOILT), ({"rate": LARGE, "any_size": {}}, NO_LOSS)])
def test_they_are_found_when_the_next_loss_is_nan(tiny, tmp_path, capsys, faults, what, policy):
    """Before the records of that loss are named."""
    with disturbed(**faults):
        message = refusal(capsys, alone(tiny, tmp_path, nan_policy=policy, save_steps=2))
    assert_blames_settings(message, "update 3", what)
    assert kept(tmp_path) == [2]


def test_large_weights_that_were_saved_are_still_to_blame_for_the_next_loss(tiny, tmp_path, capsys):
    with disturbed(rate=LARGE, any_size={}):
        assert_blames_settings(refusal(capsys, alone(tiny, tmp_path)), "update 3", NO_LOSS)


def test_they_are_found_before_they_are_evaluated(tiny, tmp_path, capsys):
    flags = alone(tiny, tmp_path, do_eval=True, eval_steps=1, save_strategy="no")
    with disturbed(rate=NAN | {"update": 4}):
        assert_blames_settings(refusal(capsys, flags), "update 4", SPOILT)
    assert kept(tmp_path) == [] and not (tmp_path / "out/eval_results.json").exists()


def test_they_are_found_at_the_end_of_a_run_without_checkpoints(tiny, tmp_path, capsys):
    with disturbed(rate=NAN | {"update": 4}):
        message = refusal(capsys, alone(tiny, tmp_path, save_strategy="no", save_steps=...))
    assert_blames_settings(message, "one of the updates 1 to 4", SPOILT)
    assert kept(tmp_path) == [] and not (tmp_path / "out/train_results.json").exists()


def test_tokens_that_do_not_occur_are_looked_at(tiny, tmp_path, capsys):
    """Without epsilon Adam makes 0 / 0 of them, and no loss shows it until one of them occurs."""
    with disturbed(no_epsilon={}):
        message = refusal(capsys, alone(tiny, tmp_path, save_steps=2))
    assert_blames_settings(message, "(one of the )?updates? 1", SPOILT)
    assert "llama.embed_tokens.weight" in message and kept(tmp_path) == []


def test_adapters_are_looked_at(tiny, tmp_path, capsys):
    with disturbed(spoil={"update": 3}):
        message = refusal(capsys, alone(tiny, tmp_path, lora=True, lora_rank=2))
    assert_blames_settings(message, "update 3", SPOILT)
    assert kept(tmp_path) == [1, 2] and "can be the model_name_or_path" not in message


def test_the_checkpoint_before_goes_on_and_is_a_model_for_a_new_run(tiny, tmp_path, capsys):
    straight, spoilt, new = (tmp_path / name for name in ("straight", "spoilt", "new"))
    main(alone(tiny, straight))
    with disturbed(rate=NAN):
        assert "can be the model_name_or_path" in refusal(capsys, alone(tiny, spoilt))
    main(alone(tiny, spoilt))
    assert "checkpoint-2" in capsys.readouterr().out
    assert_same_runs(straight / "out", spoilt / "out")
    checkpoint = spoilt / "out/checkpoint-2"
    main(alone(tiny, new, model_name_or_path=checkpoint, learning_rate=1e-4))
    first = history(straight / "out")[3, False]["loss"]  # in another order of rows
    assert history(new / "out")[1, False]["loss"] == pytest.approx(first, abs=1)


def enlarged(tiny: Path, folder: Path, factors: dict[str, float]) -> Path:
    """The model with some of its weights multiplied."""
    shutil.copytree(tiny / "model", folder / "model")
    (file,) = (folder / "model").glob("*.safetensors")
    tensors = {name: array * factors.get(name, 1) for name, array in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "np"})
    return folder / "model"


def test_a_model_that_begins_with_large_weights_is_trained(tiny, tmp_path, capsys):
    model = enlarged(tiny, tmp_path, {"llama.embed_tokens.weight": 1e6})
    flags = alone(tiny, tmp_path, model_name_or_path=model)
    assert main(flags)["train_steps"] == 4
    shutil.rmtree(tmp_path / "out")
    with disturbed(spoil={"update": 3}):
        assert "update 3 made weights NaN" in refusal(capsys, flags)


# ---- updates that are left out although the weights are sound


def test_a_run_ends_after_ten_updates_in_a_row_without_a_gradient(tiny, tmp_path, capsys):
    flags = alone(tiny, tmp_path, nan_policy="skip", max_steps=14, save_steps=2)
    with disturbed(no_gradient={"after": 2}):
        message = refusal(capsys, flags)
    assert "the last 10 updates were left out one after the other" in message
    assert kept(tmp_path)[0] == 2


def test_a_run_that_has_learnt_nothing_ends_without_a_model(tiny, tmp_path, capsys):
    with disturbed(no_gradient={"after": 0}):
        message = refusal(capsys, alone(tiny, tmp_path, nan_policy="skip"))
    assert "every update was left out" in message and kept(tmp_path) == []


def test_an_evaluation_without_a_loss_is_no_result(tiny, tmp_path, capsys):
    """Finite weights, but so large that the scores are not."""
    model = enlarged(tiny, tmp_path, {"llama.norm.weight": 1e30, "lm_head.weight": 1e10})
    flags = factories.six_updates(tiny, tmp_path, model_name_or_path=model, do_train=False, train_dataset_path=...)
    assert "have a NaN or infinite loss" in refusal(capsys, flags)
    assert not (tmp_path / "out/eval_results.json").exists()


# ---- checkpoints of earlier versions


def nan_in(checkpoint: Path, kind: str = "model") -> str:
    """Plants one, as if it had been saved; returns the tensor's name."""
    (file,) = checkpoint.glob(f"{kind}-*.safetensors")
    tensors = load_file(file)
    name = sorted(tensors)[-1]
    tensors[name].flat[-1] = float("nan")
    save_file(tensors, file, metadata={"format": "np"})
    checkpoints.mark_complete(checkpoint)
    return name


@pytest.fixture
def four(tiny, made_once, tmp_path):
    """A copy of a finished run with four checkpoints; its flags."""
    out = made_once("four checkpoints", lambda folder: main(alone(tiny, folder))) / "out"
    shutil.copytree(out, tmp_path / "out")
    return alone(tiny, tmp_path)


@pytest.mark.parametrize("kind", ["model", "optimizer"])
def test_an_old_checkpoint_with_nan_is_named_and_the_one_before_resumed(four, tmp_path, capsys, kind):
    name = nan_in(tmp_path / "out/checkpoint-4", kind)
    before = history(tmp_path / "out")
    main(four)
    shown = " ".join(capsys.readouterr().out.split())
    assert "ignored checkpoint-4: it is damaged" in shown and f"holds NaN or infinite numbers in {name}" in shown
    assert history(tmp_path / "out")[4, False]["loss"] == pytest.approx(before[4, False]["loss"], rel=1e-6)


def test_a_run_whose_checkpoints_all_hold_nan_is_refused(four, tmp_path, capsys):
    names = [nan_in(tmp_path / f"out/checkpoint-{step}") for step in (1, 2, 3, 4)]
    message = refusal(capsys, four)
    assert "every checkpoint" in message and message.count(f"holds NaN or infinite numbers in {names[0]}") >= 4


def test_a_named_checkpoint_with_nan_is_refused(tiny, four, tmp_path, capsys):
    name = nan_in(tmp_path / "out/checkpoint-3")
    given = tmp_path / "out/checkpoint-3"
    message = refusal(capsys, alone(tiny, tmp_path / "other", resume_from_checkpoint=given))
    assert "resume_from_checkpoint" in message and name in message


# ---- several processes


def assert_all_blame_settings(ends: list[End], what: str) -> None:
    for end in ends:
        assert end.code == 2, end.shown
        assert_blames_settings(end.shown, "update 3", what)


@pytest.mark.distributed
@pytest.mark.parametrize("layout", ["sharding stage 3", "tensor parallel", "pipeline"])
def test_every_layout_tries_the_last_rows_again(tiny, tmp_path, layout):
    flags = flags_of(tiny, tmp_path, nan_policy="skip", save_steps=2, **LAYOUTS[layout])
    assert_all_blame_settings(ends_of_ranks(flags, tmp_path, rate=LARGE, any_size={}), NO_LOSS)
    assert kept(tmp_path) == [2]


@pytest.mark.distributed
@pytest.mark.parametrize("layout", ["data parallel", "sharding stage 2", "sharding stage 3", "pipeline"])
def test_every_layout_finds_a_nan_of_any_rank_before_it_saves(tiny, tmp_path, layout):
    flags = flags_of(tiny, tmp_path, **LAYOUTS[layout])
    assert_all_blame_settings(ends_of_ranks(flags, tmp_path, spoil={"update": 3, "rank": 1}), SPOILT)
    assert kept(tmp_path) == [1, 2]
