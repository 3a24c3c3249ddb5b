"""Records -> packed rows, with everything that was read, kept, cut or dropped counted. What a record is and how it is
encoded is the task's. No paddle here."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from llm.core.console import UserError, count_of, listed
from llm.core.parallel import ranks
from llm.core.records.json_stream import no_progress
from llm.core.records.reading_bar import reading_bar
from llm.core.records.records import ReadCounts
from llm.core.rows.packing import choose_packing
from llm.core.rows.payload import Labels, arrays_of
from llm.core.rows.prefix_tree import Tree, grow_trees
from llm.core.rows.row import Row
from llm.core.rows.row_store import StoredRows
from llm.core.run.arguments import DataArgument
from llm.core.text.encoding import EncodeCounts, Pair, Sequence
from llm.core.text.parallel_encoding import Encode, Encoder, encode_all, processes_here

LARGE = 16 << 20  # bytes of a file


@dataclass
class RowCounts:
    """What rows hold, and a checksum of it: equal for equal rows, which a resumed run must find again."""

    rows: int = 0
    tokens: int = 0
    longest: int = 0
    label_weight: float = 0.0
    positive_weight: float = 0.0  # of the positive part of the labels
    checksum: int = 0

    def add(self, row: Row) -> Row:
        self.rows += 1
        self.tokens += len(row)
        self.longest = max(self.longest, len(row))
        if isinstance(row.payload, Labels):
            self.label_weight += row.payload.weight
            self.positive_weight += float((row.payload.weights * row.payload.labels).sum(dtype="float64"))
        for array in (row.ids, row.end_row, *arrays_of(row.payload)):
            self.checksum = zlib.crc32(array.tobytes(), self.checksum)
        return row


@dataclass
class PackedRows:
    """The rows of one data set and what became of its records. Without `lazy` the rows are a list; with it they are
    read and encoded again in every pass."""

    rows: Rows
    read: ReadCounts
    encoded: EncodeCounts
    counted: RowCounts
    lazy: bool

    @property
    def fingerprint(self) -> str:
        return f"{self.counted.rows} rows, crc32 {self.counted.checksum:08x}"

    def describe(self, name: str, max_seq_len: int) -> list[str]:
        """Lines for the screen before training."""
        read, encoded, counted = self.read, self.encoded, self.counted
        dropped = "".join(f", {count:,} {reason}" for reason, count in read.dropped.items())
        total = sum(read.dropped.values())
        lines = [f"{name}: {read.read:,} records read, {read.kept:,} kept, {total:,} dropped{dropped}"]
        lines += describe_cuts(encoded)
        if encoded.pairs:
            lines.append(f"  {count_of(encoded.pairs, 'pair')} of answers")
        elif encoded.learnt:
            lines.append(f"  {count_of(encoded.learnt, 'token')} to learn in {count_of(encoded.solutions, 'answer')}")
        else:
            steps, share = count_of(encoded.steps, "scored step"), encoded.positive_share
            lines.append(f"  {steps}, {share:.1%} positive, in {count_of(encoded.solutions, 'solution')}")
        times = encoded.tokens / counted.tokens
        shared = f" (without sharing {encoded.tokens:,}, {times:.1f} times as many)"
        padding = 1 - counted.tokens / (counted.rows * counted.longest)
        lines.append(f"  {counted.tokens:,} tokens{shared if counted.tokens < encoded.tokens else ''}")
        rows = f"{count_of(counted.rows, 'row')} of at most {max_seq_len:,}"
        lines.append(f"  {rows}; padding {padding:.1%} of a batch with the longest row")
        if self.lazy:
            lines.append("  lazy: the data is read again in every pass, in this order")
        return lines


def describe_cuts(counts: EncodeCounts) -> list[str]:
    lines = [f"  {count_of(count, 'record')} left out: {reason}" for reason, count in counts.dropped.items()]
    if counts.prompts_cut:
        lines.append(f"  {count_of(counts.prompts_cut, 'prompt')} cut from the left to max_prompt_len")
    if counts.solutions_cut:
        cut, steps = count_of(counts.solutions_cut, "solution"), count_of(counts.steps_cut, "step")
        lines.append(f"  {cut} lost {steps} from the end to max_seq_len")
    if counts.errors_cut:
        lines.append(
            f"  {count_of(counts.errors_cut, 'solution')} lost the first wrong step; first_error_accuracy leaves such "
            "solutions out"
        )
    if counts.open_prompts:
        lines.append(
            f"  warning: {count_of(counts.open_prompts, 'prompt')} without a line break at the end (first in "
            f"{counts.first_open}): prompt and answer are tokenised apart and joined as they are"
        )
    if counts.answers_cut:
        cut, tokens = count_of(counts.answers_cut, "answer"), count_of(counts.answer_tokens_cut, "token")
        lines.append(f"  {cut} lost {tokens} from the end to max_seq_len")
    return lines


class RecordSource(Protocol):
    """The records of some files, checked."""

    @property
    def files(self) -> list[Path]: ...

    def read(self, counts: ReadCounts, progress: Callable[[int], object]) -> Iterator[Any]: ...


def load_rows(source: RecordSource, encoder: Encoder, encode: Encode, data: DataArgument, bar: bool) -> PackedRows:
    """All of the data is read, encoded and packed here once, before any model is loaded, also where it is streamed
    later: what is wrong, cut or left out is reported before training. `bar` shows a progress bar."""
    grow = partial(
        grow_trees,
        max_seq_len=data.max_seq_len,
        prefix_sharing=data.prefix_sharing,
        window=data.prefix_sharing_window,
    )
    pack = choose_packing(data.zero_padding, data.greedy_zero_padding, data.lazy)
    processes = data.dataset_num_proc or processes_for(source.files)
    stream = RowStream(source, encoder, encode, grow, pack, data.max_seq_len, processes)
    read, counted = ReadCounts(), RowCounts()
    with reading_bar(source.files, bar) as progress:
        packed = map(counted.add, stream.read_into(read, progress))
        rows = list(deque(packed, maxlen=1) if data.lazy else packed)
    encoded, encoder.counts = encoder.counts, EncodeCounts()
    if not rows:
        raise ValueError(_nothing_left(source.files, data, encoded))
    again = replace(stream, processes=1)  # while training runs
    return PackedRows(again if data.lazy else rows, read, encoded, counted, data.lazy)


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


@dataclass(frozen=True)
class RowStream:
    """Reads, encodes and packs again in every pass; holds no rows."""

    source: RecordSource
    encoder: Encoder
    encode: Encode  # of the one kind of records that `source` gives
    grow: Callable[[Iterable[Sequence | Pair]], Iterator[Tree]]
    pack: Callable[[Iterable[Tree], int], Iterator[Row]]
    max_seq_len: int
    processes: int = 1
    weigh: Callable[[Row], Row] | None = None  # what labels count in training

    def __iter__(self) -> Iterator[Row]:
        try:
            yield from self.read_into(ReadCounts(), no_progress)
        except (ValueError, OSError) as error:  # all of it could be read before the training
            raise UserError(f"the data has changed since the run began: {error}") from error

    def read_into(self, counts: ReadCounts, progress: Callable[[int], object]) -> Iterator[Row]:
        rows = self.pack(self.grow(self._examples(counts, progress)), self.max_seq_len)
        return map(self.weigh, rows) if self.weigh else rows

    def _examples(self, counts: ReadCounts, progress: Callable[[int], object]) -> Iterator[Sequence | Pair]:
        return encode_all(self.source.read(counts, progress), self.encoder, self.encode, self.processes)


def weighed(rows: Rows, weigh: Callable[[Row], Row]) -> Rows:
    if isinstance(rows, list):
        return list(map(weigh, rows))
    return replace(rows, weigh=weigh) if isinstance(rows, RowStream) else StoredRows(rows.path, weigh)


Rows = list[Row] | RowStream | StoredRows
