"""Records of reward data -> packed rows, with everything that was read, kept, cut or dropped counted."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from llm.alignment.rm.flashmask.reward_argument import DataArgument
from llm.alignment.rm.flashmask.reward_format import RewardFormat
from llm.core.console import count_of
from llm.core.parallel import ranks
from llm.core.paths import find_files
from llm.core.records.json_stream import no_progress
from llm.core.records.reading_bar import reading_bar
from llm.core.records.records import (
    FIELDS,
    LABELLED,
    PREFERENCES,
    Preference,
    ReadCounts,
    Record,
    find_form,
    iter_records,
)
from llm.core.rows.packing import choose_packing
from llm.core.rows.payload import Labels, arrays_of
from llm.core.rows.prefix_tree import Tree, grow_trees
from llm.core.rows.row import Row
from llm.core.rows.row_store import StoredRows
from llm.core.text.encoding import EncodeCounts, Pair, Sequence, StepEncoder
from llm.core.text.parallel_encoding import Encode, encode_all, processes_here

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
class RewardRows:
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


def check_labels_are_hard(rows: RewardRows) -> None:
    """ValueError where a label is between right and wrong."""
    if soft := rows.encoded.soft:
        raise ValueError(
            f"prm_loss pqm ranks right steps above wrong ones, and {count_of(soft, 'label')} of the training data "
            f"{'is' if soft == 1 else 'are'} neither 0 nor 1 (first in {rows.encoded.first_soft}). Write prm_loss "
            "reward_tokens, or give data with labels that are right or wrong."
        )


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
    if counts.answers_cut:
        cut, tokens = count_of(counts.answers_cut, "answer"), count_of(counts.answer_tokens_cut, "token")
        lines.append(f"  {cut} lost {tokens} from the end to max_seq_len")
    return lines


def form_of_data(data_sets: dict[str, list[str]], process_reward: bool) -> str:
    """LABELLED or PREFERENCES, by the fields of the first records; ValueError where the data sets, {setting: its
    paths}, differ, or a process reward model is asked of preferences."""
    by_set = {name: find_form(paths) for name, paths in data_sets.items()}
    found = {name: of_set for name, of_set in by_set.items() if of_set} or {next(iter(data_sets)): (LABELLED, "")}
    forms = {form for form, _ in found.values()}
    if len(forms) > 1:
        each = "; ".join(f"{name}: {place} is a {form} ({FIELDS[form]})" for name, (form, place) in found.items())
        raise ValueError(f"training and held-out data have different forms. {each}. Give data of one form.")
    if PREFERENCES in forms and process_reward:
        name, (_, place) = next(iter(found.items()))
        raise ValueError(
            f"process_reward true asks for a score per step, but {name}: {place} is a {PREFERENCES} "
            f"({FIELDS[PREFERENCES]}). A process reward model learns from {LABELLED}s ({FIELDS[LABELLED]}). "
            "Write process_reward false for an outcome reward model, or give other data."
        )
    return forms.pop()


def load_rows(
    paths: list[str], data: DataArgument, reward_format: RewardFormat, form: str, margin: float, bar: bool = False
) -> RewardRows:
    """All of the data is read, encoded and packed here once, before any model is loaded, also where it is streamed
    later: what is wrong, cut or left out is reported before training. `margin` is that of preferences without
    one of their own; `bar` shows a progress bar."""
    files = find_files(paths)
    encoder = reward_format.encoder()
    source = RecordSource(files, reward_format, data.skip_bad_records, form)
    encode = partial(StepEncoder.encode_pair, default_margin=margin) if form == PREFERENCES else StepEncoder.encode
    grow = partial(
        grow_trees,
        max_seq_len=data.max_seq_len,
        prefix_sharing=data.prefix_sharing,
        window=data.prefix_sharing_window,
    )
    pack = choose_packing(data.zero_padding, data.greedy_zero_padding, data.lazy)
    processes = data.dataset_num_proc or processes_for(files)
    stream = RowStream(source, encoder, encode, grow, pack, data.max_seq_len, processes)
    read, counted = ReadCounts(), RowCounts()
    with reading_bar(files, bar) as progress:
        packed = map(counted.add, stream.read_into(read, progress))
        rows = list(deque(packed, maxlen=1) if data.lazy else packed)
    encoded, encoder.counts = encoder.counts, EncodeCounts()
    if not rows:
        raise ValueError(_nothing_left(paths, data, encoded))
    again = replace(stream, processes=1)  # while training runs
    return RewardRows(again if data.lazy else rows, read, encoded, counted, data.lazy)


def processes_for(files: list[Path]) -> int:
    """Starting processes takes longer than encoding a small file."""
    if sum(file.stat().st_size for file in files) < LARGE:
        return 1
    return max(processes_here() // ranks.count(), 1)


def _nothing_left(paths: list[str], data: DataArgument, encoded: EncodeCounts) -> str:
    reasons = ", ".join(f"{count_of(count, 'record')} {reason}" for reason, count in encoded.dropped.items())
    advice = "Give data with labels."
    if any("max_seq_len" in reason for reason in encoded.dropped):
        advice = f"Raise max_seq_len ({data.max_seq_len}) or lower max_prompt_len ({data.max_prompt_len})."
    return f"{', '.join(paths)}: no record can be scored: {reasons}. {advice}"


@dataclass(frozen=True)
class RecordSource:
    files: list[Path]
    reward_format: RewardFormat
    skip_bad: bool
    form: str

    def read(self, counts: ReadCounts, progress: Callable[[int], object]) -> Iterator[Record | Preference]:
        reward_tokens = self.reward_format.reward_tokens
        for record in iter_records(self.files, reward_tokens, counts, self.skip_bad, self.form, progress):
            yield self.reward_format.scored_part(record) if isinstance(record, Record) else record


@dataclass(frozen=True)
class RowStream:
    """Reads, encodes and packs again in every pass; holds no rows."""

    source: RecordSource
    encoder: StepEncoder
    encode: Encode  # of the one kind of records that `source` gives
    grow: Callable[[Iterable[Sequence | Pair]], Iterator[Tree]]
    pack: Callable[[Iterable[Tree], int], Iterator[Row]]
    max_seq_len: int
    processes: int = 1
    weigh: Callable[[Row], Row] | None = None  # what labels count in training

    def __iter__(self) -> Iterator[Row]:
        return self.read_into(ReadCounts(), no_progress)

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
