"""Encoded solutions -> rows of at most max_seq_len tokens -> batches.

A row holds one or more solutions behind one another. Token i may attend to token j where `j <= i < end_row[j]`:
within a solution everything before it, never another solution.

    solutions  A A A B B        tokens 0..4
    end_row    3 3 3 5 5        rows that still see the column: A ends at 3, B at 5
    positions  0 1 2 0 1        every solution starts anew
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from llm.core.encoding import Sequence

# Solutions that greedy packing chooses among when the data is a stream: enough to fill rows, and bounded memory.
STREAM_WINDOW = 4096


@dataclass(frozen=True, slots=True)
class Row:
    """S tokens of one or more solutions, K of them scored."""

    ids: np.ndarray  # [S] int64
    positions: np.ndarray  # [S] int64, depth within the solution
    end_row: np.ndarray  # [S] int32
    scored: np.ndarray  # [K] int64, rising
    targets: np.ndarray  # [K] float32
    weights: np.ndarray  # [K] float32
    solutions: np.ndarray  # [K] int64, which solution of this row a scored step belongs to
    solution_count: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def weight(self) -> float:
        return float(self.weights.sum(dtype="float64"))


def make_row(sequences: list[Sequence]) -> Row:
    lengths = np.array([len(sequence) for sequence in sequences])
    starts = np.cumsum(lengths) - lengths
    scored_counts = [len(sequence.scored) for sequence in sequences]
    return Row(
        ids=np.concatenate([sequence.ids for sequence in sequences]),
        positions=np.concatenate([np.arange(length) for length in lengths]),
        end_row=np.repeat(starts + lengths, lengths).astype("int32"),
        scored=np.concatenate([sequence.scored + start for sequence, start in zip(sequences, starts, strict=True)]),
        targets=np.concatenate([sequence.targets for sequence in sequences]),
        weights=np.ones(sum(scored_counts), "float32"),
        solutions=np.repeat(np.arange(len(sequences)), scored_counts),
        solution_count=len(sequences),
    )


def pack_alone(sequences: Iterable[Sequence], max_seq_len: int) -> Iterator[Row]:
    """One solution a row; a batch is padded to its longest row."""
    for sequence in sequences:
        yield make_row([sequence])


def pack_sequential(sequences: Iterable[Sequence], max_seq_len: int) -> Iterator[Row]:
    """Fill rows in the order of the data."""
    waiting, length = [], 0
    for sequence in sequences:
        if waiting and length + len(sequence) > max_seq_len:
            yield make_row(waiting)
            waiting, length = [], 0
        waiting.append(sequence)
        length += len(sequence)
    if waiting:
        yield make_row(waiting)


def pack_greedy(sequences: Iterable[Sequence], max_seq_len: int, window: int | None = None) -> Iterator[Row]:
    """Longest first, each into the fullest row with room for it, among `window` solutions at a time (None: all)."""
    waiting: list[Sequence] = []
    for sequence in sequences:
        waiting.append(sequence)
        if len(waiting) == window:
            yield from _best_fit(waiting, max_seq_len)
            waiting = []
    yield from _best_fit(waiting, max_seq_len)


def _best_fit(sequences: list[Sequence], max_seq_len: int) -> Iterator[Row]:
    """Best fit decreasing. `rooms` has bit r set where some open row has room for r more tokens, so that the
    tightest row is one shift and one lowest-bit away and time stays near-linear in the number of solutions."""
    contents: list[list[int]] = []
    open_rows: list[list[int]] = [[] for _ in range(max_seq_len + 1)]
    rooms = 0
    for number in sorted(range(len(sequences)), key=lambda n: (-len(sequences[n]), n)):
        length = len(sequences[number])
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
        yield make_row([sequences[number] for number in sorted(numbers)])


def choose_packing(zero_padding: bool, greedy_zero_padding: bool, stream: bool) -> Callable[..., Iterator[Row]]:
    """The packing that the documented settings ask for: a function of (sequences, max_seq_len)."""
    if not zero_padding:
        return pack_alone
    if not greedy_zero_padding:
        return pack_sequential
    window = STREAM_WINDOW if stream else None
    return lambda sequences, max_seq_len: pack_greedy(sequences, max_seq_len, window)


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
    scored, solutions, first_solution = [], [], 0
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row.ids
        positions[number, : len(row)] = row.positions
        end_row[number, : len(row)] = row.end_row
        scored.append(row.scored + number * length)
        solutions.append(row.solutions + first_solution)
        first_solution += row.solution_count
    if not any(len(row.scored) for row in rows):
        return collate([*rows, _blank_row(pad_id)], pad_id)
    return {
        "input_ids": ids,  # [B, S]
        "position_ids": positions,  # [B, S]
        "end_row": end_row,  # [B, S]
        "scored": np.concatenate(scored),  # [K] into the flattened B * S tokens
        "targets": np.concatenate([row.targets for row in rows]),  # [K]
        "weights": np.concatenate([row.weights for row in rows]),  # [K]
        "solutions": np.concatenate(solutions),  # [K] numbered through the batch
        "tokens": np.array(sum(len(row) for row in rows if row.solution_count), "int64"),
        "solution_count": np.array(first_solution, "int64"),
    }


def _blank_row(pad_id: int) -> Row:
    one, none = np.ones(1, "int32"), np.zeros(1, "int64")
    zero = np.zeros(1, "float32")
    return Row(none + pad_id, none, one, none, zero, zero, none, solution_count=0)
