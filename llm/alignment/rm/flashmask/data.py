"""Records of reward data -> packed rows, with everything that was read, kept, cut or dropped counted."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from llm.core.encoding import EncodeCounts, Pair, Sequence, StepEncoder
from llm.core.forest import Row, Tree, grow_trees
from llm.core.packing import choose_packing
from llm.core.records import FIELDS, LABELLED, PREFERENCES, Preference, ReadCounts, Record, find_form, iter_records


@dataclass
class LabelCounts:
    """Of the labels that are scored: their number and sum, and the same with the weights of their records."""

    labels: int = 0
    positive: float = 0.0
    weight: float = 0.0
    positive_weight: float = 0.0

    def add(self, record: Record | Preference) -> None:
        if isinstance(record, Record):
            labels = [label for label in record.labels if label is not None]
            self.labels += len(labels)
            self.positive += sum(labels)
            self.weight += record.weight * len(labels)
            self.positive_weight += record.weight * sum(labels)


@dataclass
class RewardRows:
    """The rows of one data set and what became of its records. Without `lazy` the rows are a list; with it they are
    read and encoded anew in every pass, so `encoded` is filled while the data flows."""

    rows: list[Row] | RowStream
    read: ReadCounts
    labels: LabelCounts
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
            labels = self.labels
            what = f"{read.kept:,} pairs of answers"
            if labels.labels:
                what = f"{labels.labels:,} labelled steps, {labels.positive / labels.labels:.1%} positive"
            lines.append(f"  {what}; tokens and rows: streamed (lazy)")
            return lines
        encoded, rows = self.encoded, self.rows
        lines += describe_cuts(encoded)
        if encoded.pairs:
            lines.append(f"  {encoded.pairs:,} pairs of answers")
        else:
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
    lines = [f"  {count:,} records dropped: {reason}" for reason, count in counts.dropped.items()]
    if counts.prompts_cut:
        lines.append(f"  {counts.prompts_cut:,} prompts cut from the left to max_prompt_len")
    if counts.solutions_cut:
        cut, steps = counts.solutions_cut, counts.steps_cut
        lines.append(f"  {cut:,} solutions lost {steps:,} steps from their end to max_seq_len")
    if counts.answers_cut:
        cut, tokens = counts.answers_cut, counts.answer_tokens_cut
        lines.append(f"  {cut:,} answers lost {tokens:,} tokens from their end to max_seq_len")
    return lines


def form_of_data(settings, names: list[str]) -> str:
    """LABELLED or PREFERENCES, told from the fields of the first records; ValueError where the data sets differ, or a
    process reward model is asked of preferences."""
    found = {name: find_form(settings[name]) for name in names}
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
    paths: list[str], settings, encoder: StepEncoder, reward_tokens: tuple[str, str], form: str
) -> RewardRows:
    """Every record is validated here, before any model is loaded, also where the rows are streamed later."""
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
    read, labels = ReadCounts(), LabelCounts()
    if settings["lazy"]:
        for _ in source.read(read, labels):
            pass
        _check_some(next(iter(stream), None), paths, settings, encoder)
        encoder.counts = EncodeCounts()  # what the look ahead counted comes again
        fingerprint = f"{read.kept} records, {labels.labels} labels, {labels.positive_weight} positive"
        return RewardRows(stream, read, labels, encoder.counts, lazy=True, fingerprint=fingerprint)
    rows = list(stream.read_into(read, labels))
    _check_some(rows, paths, settings, encoder)
    return RewardRows(rows, read, labels, encoder.counts, lazy=False, fingerprint=fingerprint_of(rows))


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
    form: str
    shape: Callable[[Record], Record]

    def read(self, counts: ReadCounts, labels: LabelCounts) -> Iterator[Record | Preference]:
        for record in iter_records(self.paths, self.reward_tokens, counts, self.skip_bad, self.form):
            record = self.shape(record) if isinstance(record, Record) else record
            labels.add(record)
            yield record


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
        return self.read_into(ReadCounts(), LabelCounts())

    def read_into(self, counts: ReadCounts, labels: LabelCounts) -> Iterator[Row]:
        rows = self.pack(self.grow(self._examples(counts, labels)), self.max_seq_len)
        return map(self.weigh, rows) if self.weigh else rows

    def _examples(self, counts: ReadCounts, labels: LabelCounts) -> Iterator[Sequence | Pair]:
        for record in self.source.read(counts, labels):
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


def fingerprint_of(rows: list[Row]) -> str:
    """Equal for equal rows: what a resumed run must find again."""
    value = 0
    for row in rows:
        labels = (row.label_at, row.labels, row.weights)
        pairs = (row.chosen, row.rejected, row.margins, row.pair_weights)
        for array in (row.ids, row.end_row, row.scored, *labels, *pairs):
            value = zlib.crc32(array.tobytes(), value)
    return f"{len(rows)} rows, crc32 {value:08x}"
