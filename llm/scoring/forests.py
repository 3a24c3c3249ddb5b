"""Sequences -> what the model computes at their scored positions, shared beginnings computed once.

Legend: K scored positions of a row, M marks of its solutions at them, E hidden size, C outputs of a mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import paddle

from llm.core.model.forward import hidden_states
from llm.core.rows.batch import collate
from llm.core.rows.packing import pack_greedy
from llm.core.rows.prefix_tree import grow_trees
from llm.core.rows.row import Row
from llm.core.text.encoding import Sequence
from llm.scoring.conventions.convention import Reader

ROW_TOKENS = 2048  # of a row, or more where one solution is longer


def outputs_of(model, read: Reader, sequences: list[Sequence]) -> list[np.ndarray]:
    """[K, C] for each sequence, in their order."""
    found: list[np.ndarray] = [np.empty(0)] * len(sequences)
    numbered = [replace(sequence, place=str(number)) for number, sequence in enumerate(sequences)]
    for row in rows_of(numbered):
        marks_MC = _outputs_of_row(model, read, row, sequences)
        for solution, number in enumerate(map(int, row.records)):
            found[number] = marks_MC[row.payload.solutions == solution]
    return found


def rows_of(sequences: list[Sequence]) -> Iterator[Row]:
    longest = max([ROW_TOKENS, *map(len, sequences)])
    return pack_greedy(grow_trees(sequences, longest, prefix_sharing=True), longest)


@paddle.no_grad()
def _outputs_of_row(model, read: Reader, row: Row, sequences: list[Sequence]) -> np.ndarray:
    batch = collate([row], pad_id=0)
    ids_BS, positions_BS, end_row_BS, scored_K, at_M = (
        paddle.to_tensor(batch[name]) for name in ("input_ids", "position_ids", "end_row", "scored", "label_at")
    )
    hidden_BSE = hidden_states(model, ids_BS, positions_BS, end_row_BS)
    hidden_KE = hidden_BSE.reshape([-1, hidden_BSE.shape[-1]]).gather(scored_K)
    next_M = paddle.to_tensor(np.concatenate([_next_tokens(sequences[int(number)]) for number in row.records]))
    return read(hidden_KE, at_M, next_M).astype("float32").numpy().astype("float64")


def _next_tokens(sequence: Sequence) -> np.ndarray:
    """[K] the token after each scored one; after the last of the sequence, 0."""
    return np.append(sequence.ids, 0)[sequence.scored + 1].astype("int64")
