"""Records are encoded by several processes at once, in their order. No paddle here.

The processes are forked, so that they have the tokenizer without loading it: this runs before paddle is imported.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import Any, Protocol

from llm.core.text.encoding import EncodeCounts

AT_A_TIME = 256  # records of a task
WAITING = 4  # tasks of each process that are done ahead


class Encoder(Protocol):
    """What encodes records, and counts what it does to them."""

    counts: EncodeCounts


Encode = Callable[[Any, Any], Any]  # (encoder, record)
_encoder: Encoder | None = None  # of this process


def processes_here() -> int:
    return len(os.sched_getaffinity(0))


def encode_all(records: Iterable[Any], encoder: Encoder, encode: Encode, processes: int) -> Iterator[Any]:
    """What `encode` makes of each record, without those of which it makes nothing. Counts are those of `encoder`."""
    if processes == 1:
        for record in records:
            if (found := encode(encoder, record)) is not None:
                yield found
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context, _start, (encoder,)) as pool:
        waiting: deque[Future] = deque()
        records = iter(records)
        try:
            while True:
                some = list(islice(records, AT_A_TIME))
                if some:
                    waiting.append(pool.submit(_encode_some, encode, some))
                if len(waiting) > processes * WAITING or (not some and waiting):
                    found, counts = waiting.popleft().result()
                    encoder.counts.add(counts)
                    yield from found
                elif not some:
                    return
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(encoder: Encoder) -> None:
    global _encoder
    _encoder = encoder
    gc.disable()  # what is made of a record is in no cycle, and what the process was forked with stays


def _encode_some(encode: Encode, records: list[Any]) -> tuple[list[Any], EncodeCounts]:
    assert _encoder is not None
    _encoder.counts = EncodeCounts()
    found = [encode(_encoder, record) for record in records]
    return [one for one in found if one is not None], _encoder.counts
