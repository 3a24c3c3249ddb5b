"""Rows -> the arrays of a batch."""

from __future__ import annotations

import numpy as np

from llm.core.rows.row import Row


def collate(
    rows: list[Row], pad_id: int, multiple: int = 1, least_rows: int = 0, least_tokens: int = 0
) -> dict[str, np.ndarray]:
    """B rows, padded to the longest of them and to a `multiple`, as arrays. A padding token attends to itself alone (an
    attention row without a single column would be 0/0).

    Rows without anything scored (or no rows at all: a rank without data in this step) get one label and one pair of
    weight 0, so that every rank computes a finite zero loss that reaches all weights, and stays in step.
    """
    rows = rows + [_blank_row(pad_id)] * (least_rows - len(rows))
    length = -(-max([1, least_tokens, *map(len, rows)]) // multiple) * multiple
    shape = (len(rows), length)
    ids = np.full(shape, pad_id, "int64")
    positions = np.zeros(shape, "int64")
    end_row = np.broadcast_to(np.arange(1, length + 1, dtype="int32"), shape).copy()
    places, first_scored, first_solution = [], 0, 0
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row.ids
        positions[number, : len(row)] = row.positions
        end_row[number, : len(row)] = row.end_row
        at_scored = (row.label_at + first_scored, row.chosen + first_scored, row.rejected + first_scored)
        places.append((row.scored + number * length, row.solutions + first_solution, *at_scored))
        first_scored += len(row.scored)
        first_solution += row.solution_count
    if not first_scored:
        return collate([*rows, _blank_row(pad_id)], pad_id, multiple)
    scored, solutions, label_at, chosen, rejected = map(np.concatenate, zip(*places, strict=True))
    return {
        "input_ids": ids,  # [B, S]
        "position_ids": positions,  # [B, S]
        "end_row": end_row,  # [B, S]
        "scored": scored,  # [K] into the flattened B * S tokens
        "label_at": label_at,  # [M] into the K scored positions
        "labels": np.concatenate([row.labels for row in rows]),  # [M]
        "targets": np.concatenate([row.targets for row in rows]),  # [M]
        "weights": np.concatenate([row.weights for row in rows]),  # [M]
        "solutions": solutions,  # [M] numbered through the batch
        "chosen": chosen,  # [P] into the K scored positions
        "rejected": rejected,  # [P]
        "margins": np.concatenate([row.margins for row in rows]),  # [P]
        "pair_weights": np.concatenate([row.pair_weights for row in rows]),  # [P]
        "tokens": np.array(sum(len(row) for row in rows if row.solution_count), "int64"),
        "solution_count": np.array(first_solution, "int64"),
    }


def _blank_row(pad_id: int) -> Row:
    """One token with a label and a pair that count nothing."""
    at_first, nothing = np.zeros(1, "int64"), np.zeros(1, "float32")
    return Row(
        ids=at_first + pad_id,
        positions=at_first,
        end_row=np.ones(1, "int32"),
        scored=at_first,
        solution_count=0,
        label_at=at_first,
        labels=nothing,
        targets=nothing,
        weights=nothing,
        solutions=at_first,
        chosen=at_first,
        rejected=at_first,
        margins=nothing,
        pair_weights=nothing,
    )
