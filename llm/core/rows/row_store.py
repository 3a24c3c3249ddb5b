"""Packed rows in an Arrow file, read by memory mapping: a row is looked up without being held. No paddle here.

A column is an array of the row or of its payload; `tokens`, `solutions` and such of a row are lists of numbers, so the
file can be looked at with pyarrow or datasets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from llm.core.rows.answer_payload import ComparedAnswers, JudgedAnswers, NextTokens
from llm.core.rows.payload import Labels, Pairs, Some
from llm.core.rows.row import Row

ROWS_AT_ONCE = 256  # of a record batch
OF_ROW = ("ids", "positions", "end_row")
KINDS = {kind.__name__: kind for kind in (Labels, Pairs, NextTokens, ComparedAnswers, JudgedAnswers)}
KIND = b"kind"


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """At least one row; all have payloads of one kind."""
    rows = iter(rows)
    writer = None
    with pa.OSFile(str(path), "wb") as file:
        while some := list(islice(rows, ROWS_AT_ONCE)):
            batch = _batch_of(some)
            writer = writer or pa.ipc.new_file(file, batch.schema)
            writer.write_batch(batch)
        assert writer is not None
        writer.close()


def _batch_of(rows: list[Row]) -> pa.RecordBatch:
    kind = type(rows[0].payload)
    columns = {name: _lists([getattr(row, name) for row in rows]) for name in OF_ROW}
    columns["solution_count"] = pa.array([row.solution_count for row in rows], pa.int32())
    columns["records"] = pa.array([list(row.records) for row in rows], pa.list_(pa.string()))
    for field in fields(kind):
        columns[_column(field.name)] = _lists([getattr(row.payload, field.name) for row in rows])
    schema = pa.schema([(name, column.type) for name, column in columns.items()], {KIND: kind.__name__.encode()})
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)


def _column(of_payload: str) -> str:
    return f"payload.{of_payload}"


def _lists(arrays: Sequence[np.ndarray]) -> pa.Array:
    """Truth values as bytes, which are read without being copied."""
    values = np.concatenate(arrays)
    offsets = np.cumsum([0, *map(len, arrays)])
    values = values.view("uint8") if values.dtype == bool else values
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values))


class StoredRows(Sequence[Row]):
    """The rows of a file. `weigh` is what labels count in training."""

    def __init__(self, path: Path, weigh: Callable[[Row], Row] | None = None):
        self.path, self.weigh = path, weigh
        self._file = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = (self._file.get_batch(number).num_rows for number in range(self._file.num_record_batches))
        self._starts = np.cumsum([0, *batches])  # of each batch its first row, and the number of all rows
        self._kind = KINDS[self._file.schema.metadata[KIND].decode()]
        self._columns: dict[int, dict[str, Any]] = {}  # of the batches that were looked at

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        place = int(number) % len(self)
        batch = int(np.searchsorted(self._starts, place, side="right")) - 1
        if batch not in self._columns:
            self._columns[batch] = _columns_of(self._file.get_batch(batch))
        row = _row_of(self._columns[batch], place - int(self._starts[batch]), self._kind)
        return self.weigh(row) if self.weigh else row

    def __iter__(self) -> Iterator[Row]:
        return (self[number] for number in range(len(self)))


def _columns_of(batch: pa.RecordBatch) -> dict[str, Any]:
    """(values, offsets) of each list, into the mapped file."""
    columns: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        is_of_numbers = isinstance(column, pa.LargeListArray)
        columns[name] = (column.values.to_numpy(), column.offsets.to_numpy()) if is_of_numbers else column
    return columns


def _row_of(columns: dict[str, Any], number: int, kind: type[Some]) -> Row:
    def array(name: str) -> np.ndarray:
        values, offsets = columns[name]
        return values[offsets[number] : offsets[number + 1]]

    payload = {field.name: array(_column(field.name)) for field in fields(kind)}
    payload = {name: value.view(bool) if value.dtype == np.uint8 else value for name, value in payload.items()}
    return Row(
        **{name: array(name) for name in OF_ROW},
        solution_count=columns["solution_count"][number].as_py(),
        payload=kind(**payload),
        records=tuple(columns["records"][number].as_py()),
    )
