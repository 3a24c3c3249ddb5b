"""Files and disks that fail while the command works: a clear message, nothing half-written, inputs as they were."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from llm.core.records.json_stream import LONGEST
from llm.data.convert.convert import main
from tests.data.convert.rows import ROWS

TRL = ROWS["trl"]
LINE = json.dumps(TRL).encode() + b"\n"


def run(folder: Path, capsys, *words: str) -> tuple[int, str]:
    """(exit code, what is said); the inputs stay, and nothing but the outputs is new."""
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    code = 0
    try:
        main([*words, "--output", str(folder / "out.jsonl")])
    except SystemExit as end:
        code = end.code
    assert all(path.read_bytes() == content for path, content in before.items())
    new = {path.name for path in folder.iterdir()} - {path.name for path in before}
    assert new <= ({"out.jsonl", "bad.jsonl"} if code == 0 else set()), new
    said = capsys.readouterr()
    return code, said.out + said.err


def deep(depth: int) -> bytes:
    return b'{"prompt":' + b"[" * depth + b"]" * depth + b"}"


BROKEN = [
    (b"", "no record in the file (it is empty)"),
    (gzip.compress(LINE * 999, mtime=0)[:-20], "Compressed file ended before the end-of-stream marker"),
    (pyarrow.compress(LINE * 999, "zstd", asbytes=True)[:-20], "Truncated compressed stream"),
    (b"PAR1 cut short", "file cannot be read (after 0 records: "),
    (b"\x89PNG\0\0", "not a text file"),
    (LINE.decode().encode("utf-16"), "not a text file"),
    (b"PK\3\4\0\0archive/data.pkl", "not a text file"),
]


@pytest.mark.parametrize("content, told", BROKEN, ids=range(len(BROKEN)))
@pytest.mark.parametrize("words", [[], ["--skip_bad_records"]])
def test_a_file_that_is_broken_as_a_whole_is_never_left_out(tmp_path, capsys, content, told, words):
    (tmp_path / "a").write_bytes(content)
    code, said = run(tmp_path, capsys, "trl", str(tmp_path / "a"), *words)
    assert code == 2 and told in said and "nothing is written" in said
    (tmp_path / "b").write_bytes(LINE)
    code, said = run(tmp_path, capsys, str(tmp_path / "b"), str(tmp_path / "a"), *words)
    assert code == 2 and told in said and "1 file cannot be read" in said


BAD = [
    (b'{"prompt": "\xff"}', "invalid UTF-8"),
    (LINE.replace(b"true", b"NaN"), "NaN or Infinity"),
    (LINE.replace(b"true", b"-Infinity"), "NaN or Infinity"),
    (deep(100_000), "nested too deeply"),
    (deep(900), "missing key"),
    (b'{"prompt": "a", "prompt": "b"}', "key given twice"),
    (b'{"prompt": "' + b"x" * LONGEST + b'"}', "record too long"),
    (LINE[:-9], "unreadable JSON"),
    (b"null", "not an object"),
]


@pytest.mark.parametrize("line, told", BAD, ids=range(len(BAD)))
def test_a_bad_line_costs_only_itself(tmp_path, capsys, line, told):
    """Between lines with line breaks of Windows, after a byte order mark."""
    content = b"\xef\xbb\xbf" + LINE.replace(b"\n", b"\r\n") + line + b"\r\n" + LINE
    (tmp_path / "a.jsonl").write_bytes(content)
    code, said = run(tmp_path, capsys, str(tmp_path / "a.jsonl"))
    assert code == 2 and "a.jsonl:2: " in said and told in said and "1 of 3 rows cannot be converted" in said
    code, said = run(tmp_path, capsys, str(tmp_path / "a.jsonl"), "--rejects", str(tmp_path / "bad.jsonl"))
    assert code == 0 and "3 rows read" in said and "2 records written" in said
    (reject,) = map(json.loads, (tmp_path / "bad.jsonl").read_text().splitlines())
    assert told in reject["problems"][0]


def test_a_line_of_100_mb_is_not_held_in_memory(tmp_path, capsys):
    """It is no record, however long it is; what follows is read."""
    with open(tmp_path / "a.jsonl", "wb") as file:
        file.write(b'{"prompt": "')
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + LINE)
    main([str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "out.jsonl"), "--skip_bad_records"])
    out = capsys.readouterr().out
    assert "2 rows read" in out and "1 row that cannot be converted: record too long" in out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full, the disk that is always full")
@pytest.mark.parametrize("name", ["out.jsonl", "bad.jsonl"])
def test_a_full_disk(tmp_path, capsys, name):
    (tmp_path / "a.jsonl").write_bytes(LINE * 100 + b"{}\n")
    (tmp_path / f"{name}.{os.getpid()}.part").symlink_to("/dev/full")
    words = [str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "out.jsonl")]
    with pytest.raises(SystemExit):
        main([*words, "--rejects", str(tmp_path / "bad.jsonl")])
    said = capsys.readouterr().err
    assert f"{name} is not written: the disk is full" in said
    assert {path.name for path in tmp_path.iterdir()} == {"a.jsonl"}


def test_times_and_bytes_of_parquet_are_rejected_as_text(tmp_path, capsys):
    table = pyarrow.table({"prompt": [b"\xff"], "completions": [["a"]], "labels": [[True]], "x": [float("nan")]})
    parquet.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_bytes(LINE)
    code, said = run(
        tmp_path, capsys, str(tmp_path / "b.jsonl"), str(tmp_path / "a.parquet"), "--rejects", f"{tmp_path}/bad.jsonl"
    )
    assert code == 0 and "wrong type" in said
    (reject,) = map(json.loads, (tmp_path / "bad.jsonl").read_text().splitlines())
    assert reject["row"] == {"prompt": "b'\\xff'", "completions": ["a"], "labels": [True], "x": "nan"}


@pytest.mark.runs
def test_ctrl_c_leaves_the_old_output_and_nothing_else(tmp_path):
    """As soon as there is something to leave behind."""
    (tmp_path / "out.jsonl").write_bytes(b"before")
    (tmp_path / "a.jsonl").write_bytes(LINE * 300_000)
    command = [sys.executable, "-m", "llm", "convert", "trl", "a.jsonl", "--output", "out.jsonl", "--overwrite"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("*.part")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped by Ctrl-C" in said
    assert (tmp_path / "out.jsonl").read_bytes() == b"before"
    assert {path.name for path in tmp_path.iterdir()} == {"a.jsonl", "out.jsonl"}
