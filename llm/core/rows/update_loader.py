"""Rows -> the micro-batches of this rank, planned one update at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import paddle

from llm.core.rows.row import Row


class StepLoader:
    """Gives an update the same rows however it is split into micro-batches, accumulation steps and ranks.

    Every batch carries `step_weight`, the weight of its whole step over all ranks, by which its loss is divided.
    Every rank walks over all rows, so no communication is needed to know it. The last step of a pass may have fewer
    rows; micro-batches without any are blank and keep the ranks in step. With a seed the order changes by pass and
    depends on nothing but (seed, number of the pass), so a resumed run sees the rows of a run that was not stopped.
    With `same_shapes` all micro-batches of a step are as large as its largest, as a pipeline wants them.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        collate: Callable[..., dict[str, np.ndarray]],
        batch_size: int,
        accumulation: int = 1,
        ranks: int = 1,
        rank: int = 0,
        seed: int | None = None,
        first_pass: int = 0,
        same_shapes: bool = False,
    ):
        self.rows = rows
        self.collate = collate
        self.batch_size = batch_size
        self.accumulation = accumulation
        self.ranks = ranks
        self.rank = rank
        self.seed = seed
        self.number_of_pass = first_pass
        self.same_shapes = same_shapes
        self.step_rows: list[Row] = []

    @property
    def rows_per_step(self) -> int:
        return self.batch_size * self.accumulation * self.ranks

    def __len__(self) -> int:
        """Micro-batches of this rank in a pass; a stream has no length and raises TypeError."""
        return -(-len(self.rows) // self.rows_per_step) * self.accumulation

    def __iter__(self) -> Iterator[dict[str, paddle.Tensor]]:
        rows = self._rows_in_order()
        self.number_of_pass += 1
        while step_rows := list(islice(rows, self.rows_per_step)):
            self.step_rows = step_rows
            step_weight = np.array(sum(row.weight for row in step_rows), "float32")
            least = {"least_rows": self.batch_size, "least_tokens": max(map(len, step_rows))}
            for micro_batch in range(self.accumulation):
                batch = self.collate(self._rows_of(micro_batch, self.rank), **(least if self.same_shapes else {}))
                batch["step_weight"] = step_weight
                yield {name: paddle.to_tensor(array) for name, array in batch.items()}

    def records_of(self, micro_batches: list[tuple[int, int]]) -> list[str]:
        """Where the records of the last update were read: those in these (micro-batch, rank), or all of them."""
        chosen = [row for place in micro_batches for row in self._rows_of(*place)] or self.step_rows
        return list(dict.fromkeys(record for row in chosen for record in row.records))

    def _rows_of(self, micro_batch: int, rank: int) -> list[Row]:
        start = (micro_batch * self.ranks + rank) * self.batch_size
        return self.step_rows[start : start + self.batch_size]

    def _rows_in_order(self) -> Iterator[Row]:
        if self.seed is None:
            return iter(self.rows)
        order = np.random.default_rng([self.seed, self.number_of_pass]).permutation(len(self.rows))
        return (self.rows[number] for number in order)
