"""Files are whole or not there, and on the disk before the list of them is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from llm.core.checkpoint.checkpoints import (
    FILE_LIST,
    mark_complete,
)
from llm.core.files import read_json, write_json
from tests.core.checkpoint.made_checkpoints import make


def test_json_is_written_and_read_back(tmp_path):
    content = {"ки": [1, 2.5, None, True], "nested": {"a": "é"}}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    assert "ки" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("broken", ["open", "fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there_before(tmp_path, monkeypatch, broken):
    """A full disk shows while writing or flushing: the old file stays whole, and no part of a new one is left."""

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    path = tmp_path / "state.json"
    write_json(path, {"step": 1})
    monkeypatch.setattr(type(path) if broken == "open" else os, broken, full)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"step": 2})
    monkeypatch.undo()
    assert json.loads(path.read_text()) == {"step": 1}
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_reader_never_meets_half_a_file(tmp_path, monkeypatch):
    """Until the one rename, the name holds the old content; what is renamed is on the disk already."""
    path = tmp_path / "state.json"
    write_json(path, {"step": 1})
    order, replace, fsync = [], os.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (order.append("on the disk"), fsync(file)))

    def rename(source, target):
        order.append(json.loads(path.read_text())["step"])
        assert json.loads(source.read_text()) == {"step": 2}
        replace(source, target)

    monkeypatch.setattr(os, "replace", rename)
    write_json(path, {"step": 2})
    assert order == ["on the disk", 1]


@pytest.fixture
def flushed(monkeypatch) -> list:
    """What is flushed to the disk and renamed, in that order."""
    order: list = []
    fsync, replace = os.fsync, os.replace

    def note(descriptor):
        order.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def rename(source, target):
        order.append(("renamed", Path(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "replace", rename)
    return order


def test_all_files_and_folders_are_on_the_disk_before_the_list_is_there(tmp_path, flushed):
    folder = make(tmp_path, 5, complete=False)
    mark_complete(folder)
    listed = flushed.index(("renamed", folder / FILE_LIST))
    before = {"model.safetensors", "rank/optimizer.pdopt", "empty", "rank", "."}
    assert {folder / name for name in before} | {tmp_path} <= set(flushed[:listed])
    assert folder in flushed[listed:]  # the rename of the list
