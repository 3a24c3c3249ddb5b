"""What a pass over the data has met: everything that was read, kept, cut or dropped, counted. No paddle here."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from llm.core.console import count_of
from llm.core.records.records import ReadCounts
from llm.core.rows.payload import Labels, arrays_of
from llm.core.rows.row import Row
from llm.core.text.encoding import EncodeCounts


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
class Seen:
    read: ReadCounts = field(default_factory=ReadCounts)
    encoded: EncodeCounts = field(default_factory=EncodeCounts)
    counted: RowCounts = field(default_factory=RowCounts)
    is_whole: bool = False  # the pass is over

    def describe(self, name: str, max_seq_len: int) -> list[str]:
        """Lines for the screen."""
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
        times = encoded.tokens / max(counted.tokens, 1)
        shared = f" (without sharing {encoded.tokens:,}, {times:.1f} times as many)"
        padding = 1 - counted.tokens / max(counted.rows * counted.longest, 1)
        lines.append(f"  {counted.tokens:,} tokens{shared if counted.tokens < encoded.tokens else ''}")
        rows = f"{count_of(counted.rows, 'row')} of at most {max_seq_len:,}"
        return [*lines, f"  {rows}; padding {padding:.1%} of a batch with the longest row"]


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
