"""Requests of all clients -> common batches: what waits while the model computes is computed together next, so that
solutions of one question share their beginning whoever sent them. No paddle here."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from llm.core.text.encoding import Sequence
from llm.scoring.scores import Scores

Encoded = list[list[Sequence]]


class Overloaded(Exception):  # noqa: N818 (an answer to a client, not a fault)
    """More waits than may wait."""


class Waiting(NamedTuple):
    encoded: Encoded
    tokens: int
    scores: Future[list[Scores]]


class Batcher:
    """One thread that computes; `score` is Scorer.score_encoded. At most `waiting_tokens` wait; about `batch_tokens` of
    them are computed at a time."""

    def __init__(self, score: Callable[[Encoded], list[Scores]], waiting_tokens: int, batch_tokens: int):
        self._score = score
        self._waiting_tokens, self._batch_tokens = waiting_tokens, batch_tokens
        self._queue: deque[Waiting] = deque()
        self._tokens = 0  # that wait
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="scoring", daemon=True)
        self._thread.start()

    @property
    def tokens_waiting(self) -> int:
        return self._tokens

    def submit(self, encoded: Encoded) -> Future[list[Scores]]:
        """Overloaded where there is no room; a request that alone is larger than the room gets in when nothing else
        waits."""
        tokens = sum(len(sequence) for sequences in encoded for sequence in sequences)
        item = Waiting(encoded, tokens, Future())
        with self._changed:
            if self._closed or (self._tokens and self._tokens + tokens > self._waiting_tokens):
                raise Overloaded
            self._queue.append(item)
            self._tokens += tokens
            self._changed.notify()
        return item.scores

    def close(self) -> None:
        """Computes what waits, and takes nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            wanted = [item for item in batch if item.scores.set_running_or_notify_cancel()]
            if wanted:
                self._compute(wanted)

    def _next_batch(self) -> list[Waiting]:
        """Nothing once it is closed and all is computed."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            batch: list[Waiting] = []
            tokens = 0
            while self._queue and (not batch or tokens + self._queue[0].tokens <= self._batch_tokens):
                batch.append(self._queue.popleft())
                tokens += batch[-1].tokens
            self._tokens -= tokens
            return batch

    def _compute(self, batch: list[Waiting]) -> None:
        try:
            scores = iter(self._score([sequences for item in batch for sequences in item.encoded]))
            for item in batch:
                item.scores.set_result([next(scores) for _ in item.encoded])
        except BaseException as error:  # of any kind: the clients wait for an answer, and the next batch may be fine
            for item in batch:
                if not item.scores.done():
                    item.scores.set_exception(error)
