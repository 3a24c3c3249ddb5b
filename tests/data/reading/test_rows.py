"""Rows of tables: what is written is read, in constant memory; what cannot be read is reported with its place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import tempfile
import tracemalloc
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from llm.core.records.json_stream import LONGEST
from llm.core.records.problem import Problem
from llm.data.reading.rows import read_rows

CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
TABLE = "question,answer\r\n1 + 1?,2\r\n2 + 2?,5\r\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(path: Path) -> list:
    return [row for _, row, _ in read_rows(path)]


def told(path: Path) -> list[str]:
    return [str(row) for row in rows(path) if isinstance(row, Problem)]


def zstd(data: bytes) -> bytes:
    return pyarrow.compress(data, "zstd", asbytes=True)


# ---- what is read


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5), st.sampled_from([",", "\t"]), st.booleans())
def test_any_table_reads_as_it_was_written(cells, separator, quoted):
    """Separators, quotation marks and line breaks inside cells included; the place is the line that a row ends in."""
    text = io.StringIO()
    out = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    out.writerows([("a", "b"), *cells])
    suffix = {",": "csv", "\t": "tsv"}[separator]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / f"t.{suffix}", text.getvalue())
        found = list(read_rows(path))
    assert [row for _, row, _ in found] == [{"a": a, "b": b} for a, b in cells]
    assert all(text == "" for _, _, text in found)


@pytest.mark.parametrize("name, pack", [("t.csv", bytes), ("t.csv.gz", gzip.compress), ("T.CSV.zst", zstd)])
@pytest.mark.parametrize("text", [TABLE, "\ufeff" + TABLE, TABLE.replace("\r\n", "\n"), TABLE.rstrip(), TABLE + "\r\n"])
def test_tables_of_all_kinds(tmp_path, monkeypatch, name, pack, text):
    monkeypatch.chdir(tmp_path)
    assert [(place, row) for place, row, _ in read_rows(write(Path(name).absolute(), pack(text.encode())))] == [
        (f"{name}:2", {"question": "1 + 1?", "answer": "2"}),
        (f"{name}:3", {"question": "2 + 2?", "answer": "5"}),
    ]


def test_parquet_columns_that_nobody_wants_are_not_read(tmp_path):
    parquet.write_table(pyarrow.Table.from_pylist([{"a": 1, "b": "x"}, {"a": None, "b": "y"}]), tmp_path / "t")
    assert rows(tmp_path / "t") == [{"a": 1, "b": "x"}, {"a": None, "b": "y"}]
    assert [(place.split(", ")[1], row) for place, row, _ in read_rows(tmp_path / "t", frozenset("a"))] == [
        ("row 1", {"a": 1}),
        ("row 2", {"a": None}),
    ]


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "csv.zst", "parquet"])
def test_memory_does_not_grow_with_the_file_and_all_bytes_are_reported(tmp_path, kind):
    """5 MB of rows."""
    path, count = tmp_path / f"t.{kind}", 9_000
    table = {"a": [f"{n} " + "x" * 500 for n in range(count)]}
    if kind == "parquet":
        parquet.write_table(pyarrow.table(table), path, row_group_size=2000, use_dictionary=False)
    else:
        text = "a\n" + "\n".join(table["a"]) + "\n"
        write(path, {"csv": bytes, "csv.gz": gzip.compress, "csv.zst": zstd}[kind](text.encode()))
    read: list[int] = []
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_rows(path, progress=read.append)) == count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
    assert sum(read) == path.stat().st_size


# ---- what cannot be read


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "t.csv: no row in the file (it is empty)"),
        ("a,b\n", "t.csv: no row in the file"),
        ("a,b,a\n1,2,3\n", 't.csv: column given twice (["a"])'),
        (b"\x00\x01a\n1\n", "t.csv: not a text file"),
        ('a,b\n1,2\n3,"4\n5,6\n', "t.csv: file cannot be read (line 4, after 1 row: unexpected end of data)"),
        ('a,b\n1,2\n3,"4"5\n', "t.csv: file cannot be read (line 3, after 1 row: ',' expected after '\"')"),
        ("a,b\n1,2\n3\n", 't.csv:3: ["3"] - values and columns differ in number (1 value, 2 columns)'),
        ("a,b\n1,2,3\n", "t.csv:2: "),
        (b"a,b\n1,\xff\n3,4\n", "t.csv:2: "),
        (gzip.compress(TABLE.encode(), mtime=0)[:-9], "t.csv: file cannot be read (after 1 records: Compressed"),
        (zstd(TABLE.encode())[:-9], "t.csv: file cannot be read (after 0 records: Truncated compressed stream"),
        (b"\x1f\x8bnonsense", "t.csv: file cannot be read"),
    ],
)
def test_tables_that_are_broken(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (problem,) = told(write(tmp_path / "t.csv", text))
    assert problem.startswith(message)


def test_a_bad_row_of_a_table_costs_only_itself(tmp_path):
    found = rows(write(tmp_path / "t.csv", b"a,b\n1,\xff\n2\n3,4\n"))
    assert [getattr(row, "reason", row) for row in found] == [
        "invalid UTF-8",
        "values and columns differ in number",
        {"a": "3", "b": "4"},
    ]


def test_a_cell_of_any_length_is_read_up_to_the_limit_of_records(tmp_path):
    (row,) = rows(write(tmp_path / "t.csv", f"a\n{'x' * 1_000_000}\n"))
    assert len(row["a"]) == 1_000_000
    (problem,) = told(write(tmp_path / "t.csv", f"a\n{'x' * (LONGEST + 1)}\n"))
    assert "field larger than field limit" in problem


def test_a_parquet_file_without_rows_is_told(tmp_path):
    parquet.write_table(pyarrow.table({"a": []}), tmp_path / "t.parquet")
    (problem,) = told(tmp_path / "t.parquet")
    assert "no row in the file" in problem


def test_a_file_that_is_gone_is_told(tmp_path):
    for name in ("a.csv", "a.parquet", "a.jsonl"):
        assert "No such file or directory" in told(tmp_path / name)[0]


# ---- files with bytes changed at random

TEXT = {"question": "1 + 1?", "steps": ["It is 2", "шаг"], "label": 1.5}


def content(kind: str) -> bytes:
    lines = "".join(json.dumps(TEXT | {"n": n}, ensure_ascii=False) + "\n" for n in range(20)).encode()
    if kind == "parquet":
        file = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist([TEXT] * 20), file, row_group_size=5)
        return file.getvalue()
    return {
        "jsonl": lines,
        "json": b"[" + b",\n".join(lines.splitlines()) + b"]",
        "jsonl.gz": gzip.compress(lines),
        "jsonl.zst": zstd(lines),
        "csv": b'a,b\n1,"x\ny"\n' * 20,
        "csv.gz": gzip.compress(b'a,b\n1,"x\ny"\n' * 20),
    }[kind]


def damaged(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(changed) or 1)
        piece = rng.choice((b"", b"\0", b"\xff", b'"', b"\n", b"[", b"{", b"}", b",", b"9" * 9, rng.randbytes(4)))
        changed[at : at + rng.choice((0, 1, 1, 4))] = piece
    return bytes(changed[: rng.randrange(len(changed) + 1)] if rng.random() < 0.2 else changed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jsonl", "json", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "parquet"])
def test_damaged_files_end_with_rows_and_problems(tmp_path, kind):
    """No error reaches the user as anything but a problem with a place; a file that gives nothing says why."""
    rng, data, path = random.Random(kind), content(kind), tmp_path / f"t.{kind}"
    whole = 0
    for _ in range(1000):
        path.write_bytes(damaged(data, rng))
        found = list(read_rows(path))
        assert found and all(place.startswith(str(path)) for place, _, _ in found)
        whole += any(isinstance(row, Problem) and row.whole_file for _, row, _ in found)
        assert all(isinstance(row, Problem | dict | list | str | int | float | None) for _, row, _ in found)
    assert whole > 20
