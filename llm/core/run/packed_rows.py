"""Records -> packed rows. What a record is and how it is encoded is the task's. No paddle here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from llm.core.console import count_of, listed
from llm.core.parallel import ranks
from llm.core.records.reading_bar import reading_bar
from llm.core.records.records import ReadCounts
from llm.core.rows.packing import choose_packing
from llm.core.rows.prefix_tree import grow_trees
from llm.core.rows.row import Row
from llm.core.rows.row_store import StoredRows
from llm.core.run.arguments import DataArgument
from llm.core.run.row_stream import Grow, Pack, RecordSource, RowStream, fingerprint_of
from llm.core.run.seen import RowCounts, Seen
from llm.core.text.encoding import EncodeCounts, Pair, Sequence
from llm.core.text.parallel_encoding import Encode, Encoder, processes_here

LARGE = 2 << 20  # bytes of a file


@dataclass
class PackedRows:
    """The rows of one data set and what became of its records."""

    rows: Rows
    seen: Seen
    fingerprint: str  # equal for equal rows

    @property
    def lazy(self) -> bool:
        """Whether the rows are read again in every pass."""
        return isinstance(self.rows, RowStream)

    @property
    def read(self) -> ReadCounts:
        return self.seen.read

    @property
    def encoded(self) -> EncodeCounts:
        return self.seen.encoded

    @property
    def counted(self) -> RowCounts:
        return self.seen.counted

    def describe(self, name: str, max_seq_len: int) -> list[str]:
        """Lines for the screen before training."""
        rows = self.rows
        if not isinstance(rows, RowStream):
            return self.seen.describe(name, max_seq_len)
        again = "  lazy: the data is read again in every pass, in this order"
        if self.seen.is_whole:
            return [*self.seen.describe(name, max_seq_len), again]
        size = sum(file.stat().st_size for file in rows.source.files)
        return [
            f"{name}: {count_of(len(rows.source.files), 'file')}, {size:,} bytes; the first row is read",
            "  lazy: the rest is read while training runs, and again in every pass, in this order; what cannot be used "
            "is found only then, or before by python -m llm check",
        ]

    def read_through(self, bar: bool) -> None:
        """The whole first pass of a stream, now. `bar` shows a progress bar."""
        if isinstance(self.rows, RowStream) and not self.seen.is_whole:
            files = self.rows.source.files
            with reading_bar(files, bar) as progress:
                for _ in self.rows.first_pass(progress, processes_for(files)):
                    pass


def load_rows(source: RecordSource, encoder: Encoder, encode: Encode, data: DataArgument, bar: bool) -> PackedRows:
    """All of the data is read, encoded and packed before any model is loaded, so that what is wrong, cut or left out is
    reported before training; of a stream only the first row. `bar` shows a progress bar."""
    grow, pack = packing(data)
    files, seen = source.files, Seen()
    stream = RowStream(source, encoder, encode, grow, pack, data.max_seq_len, seen)
    with reading_bar(files, bar and not data.lazy) as progress:
        processes = 1 if data.lazy else data.dataset_num_proc or processes_for(files)
        packed = stream.first_pass(progress, processes)
        rows = list(islice(packed, 1 if data.lazy else None))
    if not rows:
        raise ValueError(_nothing_left(files, data, seen.encoded))
    if data.lazy:
        return PackedRows(stream, seen, fingerprint_of(files, seen.counted))
    return PackedRows(rows, seen, fingerprint_of_rows(seen.counted))


def packed(
    files: list[Path], encoded: Iterable[Sequence | Pair], data: DataArgument, read: ReadCounts, counts: EncodeCounts
) -> PackedRows:
    """Of what was encoded before, with these counts of it, as in training."""
    grow, pack = packing(data)
    seen = Seen(read, counts, is_whole=True)
    rows = list(map(seen.counted.add, pack(grow(encoded), data.max_seq_len)))
    if not rows:
        raise ValueError(_nothing_left(files, data, counts))
    return PackedRows(rows, seen, fingerprint_of_rows(seen.counted))


def packing(data: DataArgument) -> tuple[Grow, Pack]:
    grow = partial(
        grow_trees,
        max_seq_len=data.max_seq_len,
        prefix_sharing=data.prefix_sharing,
        window=data.prefix_sharing_window,
    )
    return grow, choose_packing(data.zero_padding, data.greedy_zero_padding, data.lazy)


def fingerprint_of_rows(counted: RowCounts) -> str:
    return f"{counted.rows} rows, crc32 {counted.checksum:08x}"


def processes_for(files: list[Path]) -> int:
    """Starting processes takes longer than encoding a small file."""
    if sum(file.stat().st_size for file in files) < LARGE:
        return 1
    return max(processes_here() // ranks.count(), 1)


def _nothing_left(files: list[Path], data: DataArgument, encoded: EncodeCounts) -> str:
    reasons = ", ".join(f"{count_of(count, 'record')} {reason}" for reason, count in encoded.dropped.items())
    advice = "Give data that has something to learn from."
    if any("max_seq_len" in reason for reason in encoded.dropped):
        advice = f"Raise max_seq_len ({data.max_seq_len}) or lower max_prompt_len ({data.max_prompt_len})."
    return f"{listed([*map(str, files)])}: no record can be learnt from: {reasons}. {advice}"


def weighed(rows: Rows, weigh: Callable[[Row], Row]) -> Rows:
    if isinstance(rows, list):
        return list(map(weigh, rows))
    return replace(rows, weigh=weigh) if isinstance(rows, RowStream) else StoredRows(rows.path, weigh)


Rows = list[Row] | RowStream | StoredRows
