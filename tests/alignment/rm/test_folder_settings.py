"""Problems of the folders that settings name: said with the other problems, before data is read, without a trace."""

from __future__ import annotations

import os

import pytest

from llm.core.model.replacement import LOCK
from tests.runs import refusal


def tree(folder) -> list[str]:
    return sorted(os.path.join(place, name) for place, *names in os.walk(folder) for name in names[0] + names[1])


def test_all_are_said_together_and_nothing_is_created(settings_of, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "no data").write_text("{")
    flags = settings_of(
        output_dir=tmp_path / "file/out",
        logging_dir=tmp_path / "file",
        resume_from_checkpoint=tmp_path / "nowhere",
        overwrite_output_dir=True,
        max_steps=0,
        lr_scheduler_type="cosin",
        train_dataset_path=tmp_path / "no data",
    )
    before = tree(tmp_path)
    message = refusal(capsys, flags)
    assert "6 problems" in message
    for name in ("output_dir", "logging_dir", "resume_from_checkpoint", "overwrite_output_dir", "max_steps"):
        assert f" {name} = " in message
    assert message.count("cannot be written") == 2 and "checkpoint_files.json is missing" in message
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["output_dir", "logging_dir", "resume_from_checkpoint", "model_name_or_path"])
def test_a_name_that_no_file_can_have_is_a_problem_of_its_setting(settings_of, capsys, name):
    for value in ("9" * 400, "a\0b"):
        assert name in refusal(capsys, settings_of(**{name: value}))


def test_a_refused_run_creates_no_folder(settings_of, tmp_path, capsys):
    flags = settings_of(max_steps=0, output_dir=tmp_path / "a/b/out", logging_dir=tmp_path / "c/curves")
    before = tree(tmp_path)
    refusal(capsys, flags)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("target", ["loop", "nowhere"])
@pytest.mark.parametrize("name", ["output_dir", "logging_dir"])
def test_a_link_that_leads_nowhere_gets_a_message(settings_of, tmp_path, capsys, name, target):
    (tmp_path / "loop").symlink_to(tmp_path / target)
    for path in (tmp_path / "loop", tmp_path / "loop" / "out"):
        message = refusal(capsys, settings_of(**{name: path}))
        assert f"{name} = " in message and "cannot be written" in message and "symbolic link" in message


@pytest.mark.parametrize("path", ["x" * 300, "a\0b"])
def test_a_name_that_no_folder_can_have_gets_a_message(settings_of, tmp_path, capsys, path):
    assert "cannot be written" in refusal(capsys, settings_of(output_dir=str(tmp_path / path)))


def test_files_of_somebody_else_and_what_says_nothing_about_a_folder(settings_of, tiny, tmp_path, capsys):
    """The settings are right but for one, so that no run starts."""
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("settings.json.123.part", LOCK, ".nfs0001", ".probe-x"):
        (folder / name).write_text("")
    assert "output_dir" not in refusal(capsys, settings_of(max_steps=0))
    (folder / "thesis.tex").write_text("x")
    assert "not from a run of this script" in refusal(capsys, settings_of(max_steps=0))
    assert "output_dir = " not in refusal(capsys, settings_of(max_steps=0, overwrite_output_dir=True))
    (folder / "run-in-progress").mkdir()
    assert "output_dir" not in refusal(capsys, settings_of(max_steps=0))
    (folder / "model.safetensors").write_text("")
    assert "holds a finished model" in refusal(capsys, settings_of(max_steps=0))
    assert "output_dir" not in refusal(capsys, settings_of(max_steps=0, do_train=False))
