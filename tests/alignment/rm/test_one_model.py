"""A folder has one model with its own settings, whatever other runs were started there, killed or refused."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from llm.alignment.rm.flashmask.reward_task import TASK
from llm.alignment.rm.flashmask.run_reward import main
from llm.core.model.whole import LIST, READY
from llm.scoring.scorer import Scorer
from tests.factories import six_updates
from tests.runs import kill_at, refusal

pytestmark = pytest.mark.runs

SOLUTION = {"question": "1 + 1?", "steps": ["2", "3"]}


@pytest.fixture
def finished(made_once, tiny, tmp_path) -> Path:
    """tmp_path/out: a run of six updates that kept its checkpoints."""
    made = made_once("finished", lambda folder: main(run_of(tiny, folder)))
    shutil.copytree(made / "out", tmp_path / "out", symlinks=True)
    return tmp_path / "out"


@pytest.fixture
def without_checkpoints(finished) -> Path:
    """The same as left by a run with save_strategy no."""
    for folder in finished.glob("checkpoint-*"):
        shutil.rmtree(folder)
    return finished


def run_of(tiny, folder, **changes) -> list[str]:
    return six_updates(tiny, folder, **{"load_best_model_at_end": False, **changes})


def model_of(folder: Path) -> dict[str, bytes]:
    names = json.loads((folder / LIST).read_text())["files"]
    return {name: (folder / name).read_bytes() for name in (LIST, *names)}


def score(folder: Path) -> list[float]:
    return list(Scorer.load(folder).score([SOLUTION])[0].steps)


def test_what_a_model_is_scored_by_is_listed_with_it_and_the_run_leaves_nothing_behind(finished):
    assert {"settings.json", "reward_format.json", "tokenizer.json", "train_results.json"} <= model_of(finished).keys()
    assert not [name for name in os.listdir(finished) if "unfinished" in name or "progress" in name or name[0] == "."]


def test_a_killed_second_run_changes_neither_the_model_nor_how_it_is_scored(finished, tiny, tmp_path):
    before, expected = model_of(finished), score(finished)
    second = {"reward_tokens": "-,+", "seed": 3, "save_steps": 2}
    kill_at(
        finished / "checkpoint-2/checkpoint_files.json",
        run_of(tiny, tmp_path, overwrite_output_dir=True, **second),
        tmp_path,
    )
    assert model_of(finished) == before and score(finished) == expected
    of_run = json.loads((finished / "run-in-progress/settings.json").read_text())
    assert of_run["reward_tokens"] == "-,+" and of_run["seed"] == 3
    main(run_of(tiny, tmp_path, **second))  # resumes what overwrite_output_dir has begun
    assert json.loads((finished / "settings.json").read_text())["reward_tokens"] == "-,+"
    assert json.loads((finished / "reward_format.json").read_text())["reward_tokens"] == "-,+"
    assert not (finished / "run-in-progress").exists() and score(finished) != expected


def test_a_model_without_checkpoints_is_replaced_only_where_that_is_asked_for(
    without_checkpoints, tiny, tmp_path, capsys
):
    out, before = without_checkpoints, model_of(without_checkpoints)
    other = {"save_strategy": "no", "seed": 3, "max_steps": 1}
    for changes in ({}, {"seed": 42}, {"resume_from_checkpoint": copy_of_a_checkpoint(tiny, tmp_path, out)}):
        message = refusal(capsys, run_of(tiny, tmp_path, **other | changes))
        assert "output_dir = " in message and "holds a finished model and no checkpoint of it" in message
        assert model_of(out) == before
    main(run_of(tiny, tmp_path, **other, do_eval=False, overwrite_output_dir=True))
    assert model_of(out).keys() == before.keys() and model_of(out) != before
    assert not (out / "eval_results.json").exists(), "of the model that was there before"


def copy_of_a_checkpoint(tiny, tmp_path: Path, out: Path) -> Path:
    main(run_of(tiny, tmp_path / "other", do_eval=False, max_steps=1, save_steps=1))
    return tmp_path / "other/out/checkpoint-1"


def test_a_model_that_appears_after_the_settings_were_checked_is_not_replaced(tiny, tmp_path, capsys, monkeypatch):
    """As of a run that ends while this one reads its data."""
    from llm.alignment.rm.flashmask import run_reward

    def slowly(*args):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out/model.safetensors").write_text("of another run")
        return TASK.rows_of(*args)

    monkeypatch.setattr(run_reward, "TASK", replace(TASK, rows_of=slowly))
    assert "holds a finished model" in refusal(capsys, run_of(tiny, tmp_path, save_strategy="no"))
    assert (tmp_path / "out/model.safetensors").read_text() == "of another run"


def test_an_evaluation_leaves_the_settings_of_the_model_as_they_are(without_checkpoints, tiny, tmp_path):
    out, before = without_checkpoints, model_of(without_checkpoints)
    main(run_of(tiny, tmp_path, do_train=False, train_dataset_path=..., reward_tokens="-,+"))
    assert model_of(out) == before
    assert json.loads((out / "eval_settings.json").read_text())["reward_tokens"] == "-,+"
    main(run_of(tiny, tmp_path, benchmark=True, max_steps=1))
    assert model_of(out).keys() == before.keys()
    assert {name: model_of(out)[name] for name in before if "train" not in name} == {
        name: before[name] for name in before if "train" not in name
    }


@pytest.mark.parametrize("has_checkpoints", [True, False])
def test_a_model_that_waits_for_its_place_is_put_there_by_the_same_command(
    finished, tiny, tmp_path, capsys, has_checkpoints
):
    """As a kill leaves it in the middle of the renames."""
    expected = model_of(finished)
    (finished / READY).mkdir()
    for name in ("model-00001-of-00001.safetensors", "config.json", LIST):
        (finished / name).rename(finished / READY / name)
    with pytest.raises(ValueError, match="files of two models"):
        Scorer.load(finished)
    assert "files of two models" in refusal(capsys, run_of(tiny, tmp_path / "next", model_name_or_path=finished))
    if has_checkpoints:
        main(run_of(tiny, tmp_path))
    else:
        for folder in finished.glob("checkpoint-*"):
            shutil.rmtree(folder)
        assert "holds a finished model" in refusal(capsys, run_of(tiny, tmp_path))
    assert model_of(finished).keys() == expected.keys() and not (finished / READY).exists()
    weights = "model-00001-of-00001.safetensors"
    assert model_of(finished)[weights] == expected[weights] and len(score(finished)) == 2


# ---- links


def test_checkpoints_that_are_links_are_resumed_from_and_neither_deleted_nor_written_through(
    finished, tiny, tmp_path, capsys
):
    mine = tmp_path / "mine"
    (finished / "checkpoint-3").rename(mine)
    (finished / "checkpoint-3").symlink_to(mine)
    shutil.rmtree(finished / "checkpoint-6")
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    message = refusal(capsys, run_of(tiny, tmp_path, overwrite_output_dir=True))
    assert "checkpoint-3" in message and "symbolic link" in message
    main(run_of(tiny, tmp_path, save_total_limit=1))
    assert "starts from: " + str(finished / "checkpoint-3") in capsys.readouterr().out
    assert (finished / "checkpoint-6/checkpoint_files.json").exists() and (finished / "checkpoint-3").is_symlink()
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before


def test_links_where_a_run_would_write_get_a_message(finished, tiny, tmp_path, capsys):
    for target in (finished / "checkpoint-9", tmp_path / "nowhere"):
        (finished / "checkpoint-9").symlink_to(target)
        assert "checkpoint-9" in refusal(capsys, run_of(tiny, tmp_path))
        (finished / "checkpoint-9").unlink()
