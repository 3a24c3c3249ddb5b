"""Files are written whole or not at all, replaced only if that is asked for, and inputs are never touched."""

from __future__ import annotations

import errno
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llm.core.records.json_stream import read_values
from llm.data.output import LINES_AT_ONCE, check_outputs, new_file, new_files

VALUES = [{"text": "шаг\n两 \u2028", "n": [1, 0.5, None, True]}] * (2 * LINES_AT_ONCE + 1)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["out.jsonl", "new/folder/out.jsonl", "out.jsonl.gz"])
def test_what_is_written_is_read_again(tmp_path, name):
    path = tmp_path / name
    with new_file(path) as file:
        for value in VALUES:
            file.write(value)
    assert [value for _, value in read_values(path)] == VALUES
    assert file.count == len(VALUES)
    assert names_in(path.parent) == {path.name}
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")


def test_the_same_records_are_the_same_bytes_whatever_the_file_is_called(tmp_path):
    for name in ("a.gz", "b.gz"):
        with new_file(tmp_path / name) as file:
            file.write({"a": 1})
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b'{"a": 1}\n'


def test_an_error_leaves_what_was_there_before(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), new_file(path) as file:
        for value in VALUES:
            file.write(value)
        raise KeyboardInterrupt
    with pytest.raises(ValueError), new_file(path) as file:
        file.write({"label": float("nan")})
    assert path.read_text() == "before"
    assert names_in(tmp_path) == {"out.jsonl"}


def test_the_file_that_a_link_leads_to_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "there/real.jsonl")
    with new_file(tmp_path / "link.jsonl") as file:
        file.write(1)
    assert (tmp_path / "link.jsonl").is_symlink()
    assert (tmp_path / "there/real.jsonl").read_text() == "1\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full, the disk that is always full")
@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_a_full_disk_is_told_and_nothing_is_left(tmp_path, name):
    part = tmp_path / f"{name}.{os.getpid()}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(ValueError, match=rf"{name} is not written: the disk is full \(No space left on device\)"):
        with new_file(tmp_path / name) as file:
            for value in VALUES:
                file.write(value)
    assert names_in(tmp_path) == set()


def test_a_limit_of_the_size_of_files_is_told(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(ValueError, match="files of this size are not allowed here") as caught:
            with new_file(tmp_path / "out.jsonl") as file:
                for value in VALUES:
                    file.write(value)
        assert caught.value.__cause__.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert names_in(tmp_path) == set()


WAITS = """
import sys, time
from pathlib import Path
from llm.core.console import plain_errors
from llm.data.output import new_file
with plain_errors(ValueError), new_file(Path(sys.argv[1])) as file:
    file.write(1)
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.runs
def test_ctrl_c_leaves_nothing(tmp_path):
    command = [sys.executable, "-c", WAITS, str(tmp_path / "out.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130 and "stopped by Ctrl-C" in told
    assert names_in(tmp_path) == set()


def problems(outputs, inputs=(), overwrite=False) -> str:
    with pytest.raises(ValueError) as caught:
        check_outputs(outputs, inputs, overwrite)
    return str(caught.value)


def test_outputs_that_must_not_be_written_are_refused_all_at_once(tmp_path):
    old, source = tmp_path / "old.jsonl", tmp_path / "source.jsonl"
    old.write_text("old")
    source.write_text("source")
    (tmp_path / "link.jsonl").symlink_to(source)
    (tmp_path / "hard.jsonl").hardlink_to(source)
    os.mkfifo(tmp_path / "pipe")
    check_outputs([tmp_path / "new.jsonl", tmp_path / "other.jsonl"], [source], False)
    check_outputs([old], [source], True)
    assert f"{old} exists already; give another name, or replace it with --overwrite" in problems([old], [source])
    for same in (source, tmp_path / "link.jsonl", tmp_path / "hard.jsonl"):
        assert "is one of the files to read" in problems([same], [source], True)
    assert "another kind of file; give a .jsonl" in problems([tmp_path / "new.csv"])
    assert "another kind of file; give a .jsonl" in problems([tmp_path / "new.jsonl.ZST"])
    assert "is not a plain file" in problems([tmp_path / "pipe"], [], True)
    assert "is a folder" in problems([tmp_path], [], True)
    assert "is a file, not a folder" in problems([old / "a/b.jsonl"], [], True)
    assert "is to be written twice" in problems([tmp_path / "a", tmp_path / "." / "a"])
    told = problems([old, tmp_path], [], False)
    assert "exists already" in told and "is a folder" in told


def test_a_half_of_a_character_is_written_as_its_escape(tmp_path):
    with new_file(tmp_path / "out.jsonl") as file:
        file.write({"a": "x\ud800y"})
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {"a": "x\ud800y"}


def test_of_several_files_none_appears_if_one_cannot_be_written(tmp_path):
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    with pytest.raises(ValueError, match="NaN|Out of range"), new_files(paths) as (one, other):
        one.write(1)
        other.write(float("nan"))
    assert names_in(tmp_path) == set()
    (tmp_path / "b.jsonl").mkdir()  # cannot be replaced
    with pytest.raises(OSError), new_files(paths[::-1]) as (one, other):
        one.write(1)
        other.write(2)
    assert names_in(tmp_path) == {"b.jsonl"}
    (tmp_path / "b.jsonl").rmdir()
    with new_files(paths) as (one, other):
        one.write(1)
    assert [path.read_text() for path in paths] == ["1\n", ""]
