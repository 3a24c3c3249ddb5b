"""Records of reward data -> packed rows, with everything that was read, kept, cut or dropped counted."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from llm.core.encoding import EncodeCounts, Sequence, StepEncoder
from llm.core.forest import Row, Tree, grow_trees
from llm.core.packing import choose_packing
from llm.core.records import ReadCounts, Record, check_records, iter_records


@dataclass
class RewardRows:
    """The rows of one data set and what became of its records. Without `lazy` the rows are a list; with it they are
    read and encoded anew in every pass, so `encoded` is filled while the data flows."""

    rows: list[Row] | RowStream
    read: ReadCounts
    encoded: EncodeCounts
    lazy: bool
    fingerprint: str = field(default="")

    def describe(self, name: str, max_seq_len: int) -> list[str]:
        """Lines for the screen before training."""
        read, lines = self.read, []
        dropped = "".join(f", {count:,} {reason}" for reason, count in read.dropped.items())
        total = sum(read.dropped.values())
        lines.append(f"{name}: {read.read:,} records read, {read.kept:,} kept, {total:,} dropped{dropped}")
        if self.lazy:
            share = read.positive / read.steps
            lines.append(f"  {read.steps:,} labelled steps, {share:.1%} positive; tokens and rows: streamed (lazy)")
            return lines
        encoded, rows = self.encoded, self.rows
        lines += describe_cuts(encoded)
        share = encoded.positive_share
        lines.append(f"  {encoded.steps:,} scored steps, {share:.1%} positive, in {encoded.solutions:,} solutions")
        tokens = sum(map(len, rows))
        padding = 1 - tokens / (len(rows) * max(map(len, rows)))
        shared = f" (one by one {encoded.tokens:,}, {encoded.tokens / tokens:.1f} times as many)"
        lines.append(
            f"  {tokens:,} tokens{shared if tokens < encoded.tokens else ''} in {len(rows):,} "
            f"row{'s' if len(rows) > 1 else ''} of at most {max_seq_len:,}; "
            f"padding {padding:.1%} of a batch with the longest row"
        )
        return lines


def describe_cuts(counts: EncodeCounts) -> list[str]:
    lines = [f"  {count:,} solutions dropped: {reason}" for reason, count in counts.dropped.items()]
    if counts.prompts_cut:
        lines.append(f"  {counts.prompts_cut:,} prompts cut from the left to max_prompt_len")
    if counts.solutions_cut:
        cut, steps = counts.solutions_cut, counts.steps_cut
        lines.append(f"  {cut:,} solutions lost {steps:,} steps from their end to max_seq_len")
    return lines


def load_rows(paths: list[str], settings, encoder: StepEncoder, reward_tokens: tuple[str, str]) -> RewardRows:
    """Every record is validated here, before any model is loaded, also where the rows are streamed later."""
    source = RecordSource(paths, reward_tokens, settings["skip_bad_records"], settings["process_reward"])
    grow = partial(
        grow_trees,
        max_seq_len=settings["max_seq_len"],
        prefix_sharing=settings["prefix_sharing"],
        window=settings["prefix_sharing_window"],
    )
    pack = choose_packing(settings["zero_padding"], settings["greedy_zero_padding"], settings["lazy"])
    stream = RowStream(source, encoder, grow, pack, settings["max_seq_len"])
    if settings["lazy"]:
        read = check_records(paths, reward_tokens, settings["skip_bad_records"])
        _check_some(next(iter(stream), None), paths, settings, encoder)
        encoder.counts = EncodeCounts()  # what the look ahead counted comes again
        fingerprint = f"{read.kept} records, {read.steps} steps, {read.positive} positive"
        return RewardRows(stream, read, encoder.counts, lazy=True, fingerprint=fingerprint)
    read = ReadCounts()
    rows = list(stream.read_into(read))
    _check_some(rows, paths, settings, encoder)
    return RewardRows(rows, read, encoder.counts, lazy=False, fingerprint=fingerprint_of(rows))


def _check_some(rows, paths: list[str], settings, encoder: StepEncoder) -> None:
    if not rows:
        raise ValueError(
            f"{', '.join(paths)}: no record can be scored: {dict(encoder.counts.dropped)}. "
            f"Raise max_seq_len ({settings['max_seq_len']}) or lower max_prompt_len ({settings['max_prompt_len']})."
        )


@dataclass(frozen=True)
class RecordSource:
    paths: list[str]
    reward_tokens: tuple[str, str]
    skip_bad: bool
    process_reward: bool

    def read(self, counts: ReadCounts) -> Iterator[Record]:
        for record in iter_records(self.paths, self.reward_tokens, counts, self.skip_bad):
            yield record if self.process_reward else as_outcome(record)


@dataclass(frozen=True)
class RowStream:
    """Reads, encodes and packs anew whenever it is walked through; holds no rows."""

    source: RecordSource
    encoder: StepEncoder
    grow: Callable[[Iterable[Sequence]], Iterator[Tree]]
    pack: Callable[[Iterable[Tree], int], Iterator[Row]]
    max_seq_len: int

    def __iter__(self) -> Iterator[Row]:
        return self.read_into(ReadCounts())

    def read_into(self, counts: ReadCounts) -> Iterator[Row]:
        return self.pack(self.grow(self._sequences(counts)), self.max_seq_len)

    def _sequences(self, counts: ReadCounts) -> Iterator[Sequence]:
        for record in self.source.read(counts):
            sequence = self.encoder.encode(record)
            if sequence is not None:
                yield sequence


def as_outcome(record: Record) -> Record:
    """The answer as one text with one score after it, labelled as its last step is."""
    return replace(record, steps=("\n".join(record.steps),), labels=record.labels[-1:])


def fingerprint_of(rows: list[Row]) -> str:
    """Equal for equal rows: what a resumed run must find again."""
    value = 0
    for row in rows:
        for array in (row.ids, row.end_row, row.label_at, row.labels):
            value = zlib.crc32(array.tobytes(), value)
    return f"{len(rows)} rows, crc32 {value:08x}"
