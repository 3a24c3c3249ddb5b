"""Records of reward data -> packed rows, with everything that was read, kept, cut or dropped counted."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from llm.core.console import count_of
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
from llm.core.rows.prefix_tree import Tree, grow_trees
from llm.core.rows.row import Row
from llm.core.text.encoding import EncodeCounts, Pair, Sequence, StepEncoder
from llm.core.text.reward_tokens import RewardTokens


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
        self.label_weight += float(row.weights.sum(dtype="float64"))
        self.positive_weight += float((row.weights * row.labels).sum(dtype="float64"))
        labels = (row.label_at, row.labels, row.weights)
        pairs = (row.chosen, row.rejected, row.margins, row.pair_weights)
        for array in (row.ids, row.end_row, row.scored, *labels, *pairs):
            self.checksum = zlib.crc32(array.tobytes(), self.checksum)
        return row


@dataclass
class RewardRows:
    """The rows of one data set and what became of its records. Without `lazy` the rows are a list; with it they are
    read and encoded anew in every pass."""

    rows: list[Row] | RowStream
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
        shared = f" (one by one {encoded.tokens:,}, {times:.1f} times as many)"
        padding = 1 - counted.tokens / (counted.rows * counted.longest)
        lines.append(
            f"  {counted.tokens:,} tokens{shared if counted.tokens < encoded.tokens else ''} in "
            f"{count_of(counted.rows, 'row')} of at most {max_seq_len:,}; "
            f"padding {padding:.1%} of a batch with the longest row"
        )
        if self.lazy:
            lines.append("  lazy: all of it is read again in every pass, in this order")
        return lines


def describe_cuts(counts: EncodeCounts) -> list[str]:
    lines = [f"  {count_of(count, 'record')} left out: {reason}" for reason, count in counts.dropped.items()]
    if counts.prompts_cut:
        lines.append(f"  {count_of(counts.prompts_cut, 'prompt')} cut from the left to max_prompt_len")
    if counts.solutions_cut:
        cut, steps = count_of(counts.solutions_cut, "solution"), count_of(counts.steps_cut, "step")
        lines.append(f"  {cut} lost {steps} from the end to max_seq_len")
    if counts.answers_cut:
        cut, tokens = count_of(counts.answers_cut, "answer"), count_of(counts.answer_tokens_cut, "token")
        lines.append(f"  {cut} lost {tokens} from the end to max_seq_len")
    return lines


def form_of_data(settings, names: list[str]) -> str:
    """LABELLED or PREFERENCES, told from the fields of the first records; ValueError where the data sets differ, or a
    process reward model is asked of preferences."""
    found = {name: find_form(settings[name]) for name in names}
    found = {name: told for name, told in found.items() if told} or {names[0]: (LABELLED, "")}
    forms = {form for form, _ in found.values()}
    if len(forms) > 1:
        told = "; ".join(f"{name}: {place} is a {form} ({FIELDS[form]})" for name, (form, place) in found.items())
        raise ValueError(f"training and held-out data have different forms. {told}. Give data of one form.")
    if PREFERENCES in forms and settings["process_reward"]:
        name, (_, place) = next(iter(found.items()))
        raise ValueError(
            f"process_reward true asks for a score per step, but {name}: {place} is a {PREFERENCES} "
            f"({FIELDS[PREFERENCES]}). A process reward model learns from {LABELLED}s ({FIELDS[LABELLED]}). "
            "Write process_reward false for an outcome reward model, or give other data."
        )
    return forms.pop()


def load_rows(
    paths: list[str], settings, tokenizer, tokens: RewardTokens, reward_tokens: tuple[str, str], form: str
) -> RewardRows:
    """All of the data is read, encoded and packed here once, before any model is loaded, also where it is streamed
    later: what is wrong with it, cut or left out is told before the training."""
    limits = settings["max_seq_len"], settings["max_prompt_len"]
    encoder = StepEncoder(tokenizer, tokens, *limits, settings["use_chat_template"])
    source = RecordSource(paths, reward_tokens, settings["skip_bad_records"], form, choose_shape(settings))
    if form == PREFERENCES:
        encode = partial(encoder.encode_pair, default_margin=settings["reward_margin"])
    else:
        encode = encoder.encode
    grow = partial(
        grow_trees,
        max_seq_len=settings["max_seq_len"],
        prefix_sharing=settings["prefix_sharing"],
        window=settings["prefix_sharing_window"],
    )
    pack = choose_packing(settings["zero_padding"], settings["greedy_zero_padding"], settings["lazy"])
    stream = RowStream(source, encode, grow, pack, settings["max_seq_len"])
    read, counted = ReadCounts(), RowCounts()
    rows: Iterable[Row] = map(counted.add, stream.read_into(read))
    rows = list(rows) if not settings["lazy"] else deque(rows, maxlen=1)
    encoded, encoder.counts = encoder.counts, EncodeCounts()
    if not rows:
        raise ValueError(_nothing_left(paths, settings, encoded))
    return RewardRows(stream if settings["lazy"] else rows, read, encoded, counted, settings["lazy"])


def _nothing_left(paths: list[str], settings, encoded: EncodeCounts) -> str:
    reasons = ", ".join(f"{count_of(count, 'record')} {reason}" for reason, count in encoded.dropped.items())
    advice = "Give data with labels."
    if any("max_seq_len" in reason for reason in encoded.dropped):
        prompt = settings["max_prompt_len"]
        advice = f"Raise max_seq_len ({settings['max_seq_len']}) or lower max_prompt_len ({prompt})."
    return f"{', '.join(paths)}: no record can be scored: {reasons}. {advice}"


@dataclass(frozen=True)
class RecordSource:
    paths: list[str]
    reward_tokens: tuple[str, str]
    skip_bad: bool
    form: str
    shape: Callable[[Record], Record]

    def read(self, counts: ReadCounts) -> Iterator[Record | Preference]:
        for record in iter_records(self.paths, self.reward_tokens, counts, self.skip_bad, self.form):
            yield self.shape(record) if isinstance(record, Record) else record


@dataclass(frozen=True)
class RowStream:
    """Reads, encodes and packs anew whenever it is walked through; holds no rows."""

    source: RecordSource
    encode: Callable[[Record | Preference], Sequence | Pair | None]
    grow: Callable[[Iterable[Sequence | Pair]], Iterator[Tree]]
    pack: Callable[[Iterable[Tree], int], Iterator[Row]]
    max_seq_len: int
    weigh: Callable[[Row], Row] | None = None  # what labels count in training

    def __iter__(self) -> Iterator[Row]:
        return self.read_into(ReadCounts())

    def read_into(self, counts: ReadCounts) -> Iterator[Row]:
        rows = self.pack(self.grow(self._examples(counts)), self.max_seq_len)
        return map(self.weigh, rows) if self.weigh else rows

    def _examples(self, counts: ReadCounts) -> Iterator[Sequence | Pair]:
        for record in self.source.read(counts):
            example = self.encode(record)
            if example is not None:
                yield example


def weighed(rows: list[Row] | RowStream, weigh: Callable[[Row], Row]) -> list[Row] | RowStream:
    return replace(rows, weigh=weigh) if isinstance(rows, RowStream) else list(map(weigh, rows))


def choose_shape(settings) -> Callable[[Record], Record]:
    """What of a labelled record is scored."""
    if not settings["process_reward"]:
        return as_outcome
    return last_step_only if settings["score_last_step_only"] else lambda record: record


def as_outcome(record: Record) -> Record:
    """The answer as one text with one score after it, labelled as its last step is."""
    return replace(record, steps=("\n".join(record.steps),), labels=record.labels[-1:])


def last_step_only(record: Record) -> Record:
    return replace(record, labels=(None,) * (len(record.labels) - 1) + record.labels[-1:])
