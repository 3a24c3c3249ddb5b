"""Rows that are read, encoded and packed while training runs, again in every pass. No paddle here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import xxhash

from llm.core.console import UserError
from llm.core.parallel.ranks import say
from llm.core.records.json_stream import no_progress
from llm.core.records.records import ReadCounts
from llm.core.rows.prefix_tree import Tree
from llm.core.rows.row import Row
from llm.core.run.seen import RowCounts, Seen
from llm.core.text.encoding import EncodeCounts, Pair, Sequence
from llm.core.text.parallel_encoding import Encode, Encoder, encode_all

Grow = Callable[[Iterable[Sequence | Pair]], Iterator[Tree]]
Pack = Callable[[Iterable[Tree], int], Iterator[Row]]
ENDS = 1 << 20  # bytes of a file by which it is known


class RecordSource(Protocol):
    """The records of some files, checked."""

    @property
    def files(self) -> list[Path]: ...

    def read(self, counts: ReadCounts, progress: Callable[[int], object]) -> Iterator[Any]: ...


@dataclass(frozen=True)
class RowStream:
    """Holds no rows. `seen` is what its first pass has met so far."""

    source: RecordSource
    encoder: Encoder
    encode: Encode  # of the one kind of records that `source` gives
    grow: Grow
    pack: Pack
    max_seq_len: int
    seen: Seen
    weigh: Callable[[Row], Row] | None = None  # what labels count in training

    def __iter__(self) -> Iterator[Row]:
        """A bad record ends it at once."""
        is_known = self.seen.is_whole
        try:
            rows = self._rows(ReadCounts(), no_progress) if is_known else self._told()
            yield from map(self.weigh, rows) if self.weigh else rows
        except (ValueError, OSError) as error:
            changed = "the data has changed since it was read: " if is_known else ""
            raise UserError(f"{changed}{error}") from error

    def _told(self) -> Iterator[Row]:
        yield from self.first_pass(no_progress, at_once=True)
        say("\n".join(self.seen.describe("training data, the first pass over it", self.max_seq_len)))

    def first_pass(self, progress: Callable[[int], object], processes: int = 1, at_once: bool = False) -> Iterator[Row]:
        """Counted anew. All bad records are reported at the end, unless the first ends it at once."""
        seen = self.seen
        seen.read, seen.encoded, seen.counted = ReadCounts(at_once=at_once), EncodeCounts(), RowCounts()
        self.encoder.counts = seen.encoded
        yield from map(seen.counted.add, self._rows(seen.read, progress, processes))
        seen.is_whole = True

    def _rows(self, counts: ReadCounts, progress: Callable[[int], object], processes: int = 1) -> Iterator[Row]:
        records = self.source.read(counts, progress)
        return self.pack(self.grow(encode_all(records, self.encoder, self.encode, processes)), self.max_seq_len)


def fingerprint_of(files: list[Path], first: RowCounts) -> str:
    """By what can be known without reading all: sizes, the ends of every file, and the first row."""
    value = xxhash.xxh3_128()
    for path in files:
        size = path.stat().st_size
        value.update(f"{size} ".encode())
        with path.open("rb") as file:
            value.update(file.read(ENDS))
            file.seek(max(size - ENDS, 0))
            value.update(file.read())
    return f"stream, xxh3_128 {value.hexdigest()}, first row crc32 {first.checksum:08x}"
