"""Rows come back from a file as they went in, and are weighed as rows in memory are."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest

from llm.core.rows import row_store
from llm.core.rows.packing import pack_greedy
from llm.core.rows.prefix_tree import grow_trees
from llm.core.rows.row import Row
from llm.core.rows.row_store import StoredRows, write_rows
from llm.core.text.encoding import Pair, Sequence


def solutions(count: int, as_pairs: bool) -> list:
    random = np.random.default_rng(7)

    def one(number: int) -> Sequence:
        ids = np.concatenate([[1, number // 5], random.integers(2, 6, random.integers(1, 9))]).astype("int32")
        scored = np.array([len(ids) - 1])
        return Sequence(ids, scored, random.random(1, "float32"), 2, 0.5, f"file:{number}", bool(number % 2))

    made = [one(number) for number in range(count)]
    if not as_pairs:
        return made
    return [Pair(a, b, 0.25, 2.0, a.place) for a, b in zip(made[::2], made[1::2], strict=True)]


def rows_of(as_pairs: bool) -> list[Row]:
    trees = grow_trees(iter(solutions(60, as_pairs)), 24, prefix_sharing=True)
    return list(pack_greedy(trees, 24))


def assert_same(row: Row, other: Row) -> None:
    for name in ("ids", "positions", "end_row"):
        a, b = getattr(row, name), getattr(other, name)
        assert a.dtype == b.dtype and (a == b).all()
    assert (row.solution_count, row.records, type(row.payload)) == (
        other.solution_count,
        other.records,
        type(other.payload),
    )
    for field in fields(row.payload):
        a, b = getattr(row.payload, field.name), getattr(other.payload, field.name)
        assert a.dtype == b.dtype and (a == b).all(), field.name


@pytest.mark.parametrize("as_pairs", [False, True], ids=["labels", "pairs"])
@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_rows_come_back_in_any_order(tmp_path, monkeypatch, as_pairs, at_once):
    monkeypatch.setattr(row_store, "ROWS_AT_ONCE", at_once)
    rows = rows_of(as_pairs)
    write_rows(tmp_path / "rows", iter(rows))
    stored = StoredRows(tmp_path / "rows")
    assert len(stored) == len(rows) > 3
    for number in np.random.default_rng(1).permutation(len(rows)):
        assert_same(stored[number], rows[number])
    for one, other in zip(stored, rows, strict=True):
        assert_same(one, other)
    assert_same(stored[-1], rows[-1])
    assert len(stored[1:3]) == 2
    with pytest.raises(IndexError):
        stored[len(rows)]


def test_what_labels_count_is_applied_when_a_row_is_taken(tmp_path):
    rows = rows_of(as_pairs=False)
    write_rows(tmp_path / "rows", iter(rows))

    def halve(row: Row) -> Row:
        return replace(row, payload=replace(row.payload, weights=row.payload.weights / 2))

    stored = StoredRows(tmp_path / "rows", weigh=halve)
    for one, other in zip(stored, rows, strict=True):
        assert one.weight == pytest.approx(other.weight / 2) and one.weight > 0


def test_the_file_is_read_by_pyarrow_alone(tmp_path):
    rows = rows_of(as_pairs=False)
    write_rows(tmp_path / "rows", iter(rows))
    table = pa.ipc.open_file(str(tmp_path / "rows")).read_all()
    assert table["ids"].to_pylist() == [row.ids.tolist() for row in rows]
    assert table["payload.labels"].to_pylist() == [row.payload.labels.tolist() for row in rows]
