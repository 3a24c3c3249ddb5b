"""Rows -> the arrays of a batch."""

from __future__ import annotations

import numpy as np

from llm.core.rows.payload import Labels, Some
from llm.core.rows.row import Row


def collate(
    rows: list[Row],
    pad_id: int,
    multiple: int = 1,
    least_rows: int = 0,
    least_tokens: int = 0,
    kind: type[Some] = Labels,
) -> dict[str, np.ndarray]:
    """B rows, padded to the longest of them and to a `multiple`, as arrays. A padding token attends to itself alone (an
    attention row without a single column would be 0/0). Rows without anything scored, or no rows at all (a rank without
    data in this update), get a blank row with a payload of this `kind`."""
    rows = rows + [_blank_row(pad_id, kind)] * (least_rows - len(rows))
    counts = np.array([len(row.payload.scored) for row in rows], "int64")
    if not counts.sum():
        return collate([*rows, _blank_row(pad_id, kind)], pad_id, multiple, 0, least_tokens, kind)
    length = -(-max([1, least_tokens, *map(len, rows)]) // multiple) * multiple
    shape = (len(rows), length)
    ids = np.full(shape, pad_id, "int64")
    positions = np.zeros(shape, "int64")
    end_row = np.broadcast_to(np.arange(1, length + 1, dtype="int32"), shape).copy()
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row.ids
        positions[number, : len(row)] = row.positions
        end_row[number, : len(row)] = row.end_row
    payloads = [row.payload for row in rows]
    solutions = np.array([row.solution_count for row in rows], "int64")
    return {
        "input_ids": ids,  # [B, S]
        "position_ids": positions,  # [B, S]
        "end_row": end_row,  # [B, S]
        # [K] into the flattened B * S tokens
        "scored": np.concatenate([payload.scored + number * length for number, payload in enumerate(payloads)]),
        **type(payloads[0]).batch(payloads, _starts(counts), _starts(solutions)),  # type: ignore[arg-type]  # all of one kind
        "tokens": np.array(sum(len(row) for row in rows if row.solution_count), "int64"),
        "solution_count": solutions.sum(),
    }


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.cumsum(counts) - counts


def _blank_row(pad_id: int, kind: type[Some]) -> Row:
    """One token with a payload that counts nothing."""
    first = np.zeros(1, "int64")
    return Row(first + pad_id, first, np.ones(1, "int32"), solution_count=0, payload=kind.blank())
