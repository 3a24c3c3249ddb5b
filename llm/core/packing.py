"""Trees of solutions -> rows of at most max_seq_len tokens -> batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from llm.core.forest import Row, Tree, make_row

# Trees that greedy packing chooses among when the data is a stream: enough to fill rows, and bounded memory.
STREAM_WINDOW = 4096


def pack_alone(trees: Iterable[Tree], max_seq_len: int) -> Iterator[Row]:
    """One tree a row; a batch is padded to its longest row."""
    for tree in trees:
        yield make_row([tree])


def pack_sequential(trees: Iterable[Tree], max_seq_len: int) -> Iterator[Row]:
    """Fill rows in the order of the data."""
    waiting, length = [], 0
    for tree in trees:
        if waiting and length + len(tree) > max_seq_len:
            yield make_row(waiting)
            waiting, length = [], 0
        waiting.append(tree)
        length += len(tree)
    if waiting:
        yield make_row(waiting)


def pack_greedy(trees: Iterable[Tree], max_seq_len: int, window: int | None = None) -> Iterator[Row]:
    """Longest first, each into the fullest row with room for it, among `window` trees at a time (None: all)."""
    trees = iter(trees)
    while some := list(islice(trees, window)):
        yield from _best_fit(some, max_seq_len)


def _best_fit(trees: list[Tree], max_seq_len: int) -> Iterator[Row]:
    """Best fit decreasing. `rooms` has bit r set where some open row has room for r more tokens, so that the
    tightest row is one shift and one lowest-bit away and time stays near-linear in the number of trees."""
    contents: list[list[int]] = []
    open_rows: list[list[int]] = [[] for _ in range(max_seq_len + 1)]
    rooms = 0
    for number in sorted(range(len(trees)), key=lambda n: (-len(trees[n]), n)):
        length = len(trees[number])
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = open_rows[room].pop()
            if not open_rows[room]:
                rooms ^= 1 << room
        else:
            room, row = max_seq_len, len(contents)
            contents.append([])
        contents[row].append(number)
        open_rows[room - length].append(row)
        rooms |= 1 << (room - length)
    for numbers in contents:
        yield make_row([trees[number] for number in sorted(numbers)])


def choose_packing(zero_padding: bool, greedy_zero_padding: bool, stream: bool) -> Callable[..., Iterator[Row]]:
    """The packing that the documented settings ask for: a function of (trees, max_seq_len)."""
    if not zero_padding:
        return pack_alone
    if not greedy_zero_padding:
        return pack_sequential
    window = STREAM_WINDOW if stream else None
    return lambda trees, max_seq_len: pack_greedy(trees, max_seq_len, window)


def collate(rows: list[Row], pad_id: int) -> dict[str, np.ndarray]:
    """B rows, padded to the longest of them, as arrays. A padding token attends to itself alone (an attention row
    without a single column would be 0/0).

    Rows without anything scored (or no rows at all: a rank without data in this step) get one scored position of
    weight 0, so that every rank computes a finite zero loss that reaches all weights, and stays in step.
    """
    length = max((len(row) for row in rows), default=1)
    shape = (len(rows), length)
    ids = np.full(shape, pad_id, "int64")
    positions = np.zeros(shape, "int64")
    end_row = np.broadcast_to(np.arange(1, length + 1, dtype="int32"), shape).copy()
    places, first_scored, first_solution = [], 0, 0
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row.ids
        positions[number, : len(row)] = row.positions
        end_row[number, : len(row)] = row.end_row
        places.append((row.scored + number * length, row.label_at + first_scored, row.solutions + first_solution))
        first_scored += len(row.scored)
        first_solution += row.solution_count
    if not first_scored:
        return collate([*rows, _blank_row(pad_id)], pad_id)
    scored, label_at, solutions = map(np.concatenate, zip(*places, strict=True))
    return {
        "input_ids": ids,  # [B, S]
        "position_ids": positions,  # [B, S]
        "end_row": end_row,  # [B, S]
        "scored": scored,  # [K] into the flattened B * S tokens
        "targets": np.concatenate([row.targets for row in rows]),  # [K]
        "weights": np.concatenate([row.weights for row in rows]),  # [K]
        "label_at": label_at,  # [M] into the K scored positions
        "labels": np.concatenate([row.labels for row in rows]),  # [M]
        "solutions": solutions,  # [M] numbered through the batch
        "tokens": np.array(sum(len(row) for row in rows if row.solution_count), "int64"),
        "solution_count": np.array(first_solution, "int64"),
    }


def _blank_row(pad_id: int) -> Row:
    one, none, nothing = np.ones(1, "int32"), np.zeros(1, "int64"), np.zeros(0, "int64")
    zero = np.zeros(1, "float32")
    return Row(none + pad_id, none, one, none, zero, zero, nothing, zero[:0], nothing, solution_count=0)
