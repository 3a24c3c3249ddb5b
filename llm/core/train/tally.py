"""Named sums of what a training did, since the last line of the log and since its first update, restarts included."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping

from llm.core.parallel.ranks import sum_over_ranks

STEPS, SKIPPED = "steps", "skipped_updates"
COUNTED_BY_ALL = (STEPS, SKIPPED)  # every rank counts these alike

Sums = dict[str, float]


class Tally:
    """Each rank adds what its own batches gave. Of the sums over all ranks those that hold the same data by tensor
    parallelism count once; in a pipeline only the last stage has any."""

    def __init__(self, names: Iterable[str], copies: int = 1, carries_on: bool = True):
        """`copies` ranks hold the same data. After a restart one rank `carries_on` what all had before."""
        self.names = (*COUNTED_BY_ALL, *names)
        self.copies, self.carries_on = copies, carries_on
        self.recent: Sums = dict.fromkeys(self.names, 0.0)  # of this rank
        self.total: Sums = dict.fromkeys(self.names, 0.0)  # of all ranks, up to the last line of the log
        self.seconds = 0.0  # of training up to the last line of the log, without evaluation and saving
        self._begin = time.perf_counter()
        self._seconds_before = 0.0  # since the last line of the log, when the run was stopped

    def count(self, name: str) -> None:
        self.recent[name] += 1

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.recent[name] += value

    def start_clock(self) -> None:
        self._begin = time.perf_counter() - self._seconds_before
        self._seconds_before = 0.0

    @contextlib.contextmanager
    def clock_stopped(self) -> Iterator[None]:
        """What is done inside does not count for the speed of training."""
        begin = time.perf_counter()
        yield
        self._begin += time.perf_counter() - begin

    def close_line(self) -> tuple[Sums, float]:
        """(sums over all ranks since the last line, seconds since then), which now belong to the total."""
        sums = self.over_ranks()
        seconds = max(time.perf_counter() - self._begin, 1e-9)
        self.total = {name: self.total[name] + sums[name] for name in self.names}
        self.seconds += seconds
        self.recent = dict.fromkeys(self.names, 0.0)
        self.start_clock()
        return sums, seconds

    def over_ranks(self) -> Sums:
        summed = [name for name in self.names if name not in COUNTED_BY_ALL]
        of_all = sum_over_ranks([self.recent[name] for name in summed])
        return dict(self.recent) | {name: value / self.copies for name, value in zip(summed, of_all, strict=True)}

    def updates(self) -> float:
        """Made so far, without those that were skipped."""
        return self.total[STEPS] + self.recent[STEPS]

    def state(self) -> dict:
        since = time.perf_counter() - self._begin
        return {
            "total": self.total,
            "seconds": self.seconds,
            "since_last_log": self.over_ranks(),
            "seconds_since_last_log": since,
        }

    def restore(self, state: dict) -> None:
        self.total, self.seconds = dict(state["total"]), state["seconds"]
        self._seconds_before = state.get("seconds_since_last_log", 0.0)  # which early checkpoints lack
        recent = state["since_last_log"]
        kept = self.names if self.carries_on else COUNTED_BY_ALL
        self.recent = {name: recent[name] if name in kept else 0.0 for name in self.names}
