"""A folder has the files of one model, the old one or the new one, or is refused until the same command is repeated."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from llm.core.files import write_json
from llm.core.model import replacement
from llm.core.model.replacement import LOCK, UNFINISHED, alone_in, has_only_leftovers, staged
from llm.core.model.whole import FILES, LIST, READY, read_whole
from tests.kills import kills

OLD = {name: f"old {name}" for name in ("config.json", "model.safetensors", "tokenizer.model", "only-old.json")}
NEW = {name: f"new {name}" for name in ("config.json", "model-1.safetensors", "tokenizer.json", "model-2.safetensors")}


def put(folder: Path, files: dict[str, str]) -> None:
    with staged(folder) as unfinished:
        for name, text in files.items():
            (unfinished / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file() and path.name != LIST}


def read(folder: Path) -> dict[str, str]:
    with read_whole(folder):
        return {name: text for name, text in content(folder).items() if name in OLD | NEW}


def folder_of(folder: Path, kind: str) -> Path:
    if kind != "new":
        put(folder, OLD)
        (folder / "notes.txt").write_text("mine")
    if kind == "old, without a list":
        (folder / LIST).unlink()
        (folder / "only-old.json").unlink()
    return folder


@pytest.mark.runs
@pytest.mark.parametrize("kind", ["old", "old, without a list", "new"])
def test_a_kill_at_any_operation_leaves_one_model_and_the_same_command_then_works(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)  # which takes most of the time
    start, folder, seen = folder_of(tmp_path / "start", kind), tmp_path / "out", []
    before = read(start) if kind != "new" else {}
    for _ in kills(lambda: put(folder, NEW), ready=lambda: copy(start, folder)):
        files = content(folder) if folder.exists() else {}
        assert len({text[:3] for name, text in files.items() if name in OLD | NEW}) < 2, "other programs read a mixture"
        try:
            found = read(folder) if files else {}
            assert found in (before, NEW)
            seen.append("old" if found == before else "new")
        except ValueError as error:
            assert "files of two models" in str(error)
            seen.append("refused")
        put(folder, NEW)
        assert read(folder) == NEW
        kept = {"notes.txt": "mine"} if kind != "new" else {}
        assert content(folder) == NEW | kept and not {READY, UNFINISHED, LOCK} & set(os.listdir(folder))
    assert seen == sorted(seen, key=["old", "refused", "new"].index), "once whole, always whole"
    assert {"old", "refused", "new"} == set(seen)


def copy(start: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if start.exists():
        shutil.copytree(start, folder)


def test_an_error_leaves_the_old_model_and_of_a_new_folder_nothing(tmp_path):
    put(tmp_path / "old", OLD)
    for folder in (tmp_path / "old", tmp_path / "new"):
        with pytest.raises(OSError, match="full"), staged(folder) as unfinished:
            (unfinished / "config.json").write_text("new")
            raise OSError("full")
    assert read(tmp_path / "old") == OLD and sorted(os.listdir(tmp_path)) == ["old"]
    assert not {READY, UNFINISHED, LOCK} & set(os.listdir(tmp_path / "old"))


def test_a_folder_that_lacks_a_file_of_its_model_is_refused_and_one_that_never_had_a_list_is_not(tmp_path):
    put(tmp_path, OLD)
    (tmp_path / "tokenizer.model").unlink()
    with pytest.raises(ValueError, match="tokenizer.model is missing"):
        read(tmp_path)
    (tmp_path / LIST).unlink()
    assert "config.json" in read(tmp_path)


def test_a_model_that_is_replaced_while_it_is_read_is_read_again(tmp_path):
    put(tmp_path, OLD)
    with pytest.raises(ValueError, match="replaced while it was read"), read_whole(tmp_path):
        put(tmp_path, OLD)


@pytest.mark.parametrize("names", ["../out/notes.txt", ["../notes.txt"], [".."], [""], [7], ["a/b"], None, {"a/b": 1}])
def test_a_list_names_files_of_its_folder_alone(tmp_path, names):
    (tmp_path / "notes.txt").write_text("mine")
    put(tmp_path / "out", OLD)
    write_json(tmp_path / "out" / LIST, {FILES: names})
    with pytest.raises(ValueError, match="not a list of the files"):
        read(tmp_path / "out")
    put(tmp_path / "out", NEW)
    assert read(tmp_path / "out").items() >= NEW.items() and (tmp_path / "notes.txt").read_text() == "mine"


def test_links_are_replaced_and_not_written_through(tmp_path):
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "config.json").write_text("of somebody else")
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(target / "config.json")
    for name in (READY, UNFINISHED):
        (folder / name).symlink_to(target)
    put(folder, NEW)
    assert content(folder) == NEW and content(target) == {"config.json": "of somebody else"}


def test_one_process_at_a_time_and_the_lock_is_gone_with_it(tmp_path):
    with alone_in(tmp_path):
        assert (tmp_path / LOCK).exists()
        with pytest.raises(ValueError, match="another process is writing to this folder now"), alone_in(tmp_path):
            pass
        assert (tmp_path / LOCK).exists(), "the one that was refused has deleted the lock of the other"
    assert os.listdir(tmp_path) == []


def test_leftovers_of_killed_processes_are_cleared_and_nothing_else(tmp_path):
    kept = {"thesis.part", "notes.txt", "1.part.txt"}
    for name in (*kept, "settings.json.123.part", "train_results.json.7.part", LOCK):
        (tmp_path / name).write_text("x")
    (tmp_path / UNFINISHED / "sub").mkdir(parents=True)
    with alone_in(tmp_path):
        pass
    assert set(os.listdir(tmp_path)) == kept


def test_a_folder_with_leftovers_alone_counts_as_empty(tmp_path):
    assert has_only_leftovers(tmp_path)
    (tmp_path / UNFINISHED).mkdir()
    (tmp_path / LOCK).touch()
    assert has_only_leftovers(tmp_path)
    (tmp_path / "notes.txt").touch()
    assert not has_only_leftovers(tmp_path)
    put(tmp_path / "whole", OLD)
    assert not has_only_leftovers(tmp_path / "whole")
    for mark in (READY, LOCK):
        (tmp_path / "whole" / mark).mkdir()
        assert has_only_leftovers(tmp_path / "whole")
        (tmp_path / "whole" / "notes.txt").touch()
        assert not has_only_leftovers(tmp_path / "whole")
        (tmp_path / "whole" / "notes.txt").unlink()
        (tmp_path / "whole" / mark).rmdir()
    put(tmp_path / "trained", OLD | {replacement.OF_TRAINING: ""})
    (tmp_path / "trained" / LOCK).touch()
    assert not has_only_leftovers(tmp_path / "trained")


def test_what_a_model_is_made_of_is_on_the_disk_before_it_counts(tmp_path, monkeypatch):
    order: list = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(
        os, "fsync", lambda file: (order.append(Path(os.readlink(f"/proc/self/fd/{file}"))), fsync(file))
    )
    monkeypatch.setattr(os, "rename", lambda old, new: (order.append("counts"), rename(old, new)))
    put(tmp_path, NEW)
    before = order[: order.index("counts")]
    assert {tmp_path / UNFINISHED / name for name in (*NEW, LIST, ".")} <= set(before)
    assert tmp_path in order[order.index("counts") :]


def test_weights_may_be_read_by_whoever_may_read_the_folder(tmp_path):
    """safetensors gives them to their owner alone."""
    with staged(tmp_path / "model") as unfinished:
        for name in NEW:
            (unfinished / name).write_text(name)
            (unfinished / name).chmod(0o600)
        unfinished.chmod(0o750)
    modes = {name: (tmp_path / "model" / name).stat().st_mode & 0o777 for name in NEW}
    assert modes == {name: 0o640 if name.endswith(".safetensors") else 0o600 for name in NEW}
