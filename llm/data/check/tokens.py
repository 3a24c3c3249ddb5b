"""Tokens of a solution, encoded as in training, and what does not fit into max_seq_len."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from llm.core.console import count_of
from llm.core.records.comparisons import AnswerPair
from llm.core.records.dialogues import Dialogue
from llm.core.text.encoding import EncodeCounts, Pair, Sequence
from llm.data.check.finding import Chart, Examples, Finding
from llm.data.check.histogram import Histogram

WITHOUT_LIMIT = 1 << 30


class Encoded(NamedTuple):
    """What encoding a record showed."""

    place: str
    length: int = 0  # without a limit
    is_cut: bool = False
    fits: bool = True
    prompt_cut: bool = False
    is_scored: bool = True  # without a label it is not encoded, whatever the limit
    left_out: str = ""  # why nothing of a dialogue can be learnt, whatever max_seq_len
    refused: str = ""  # why a chat template takes no such dialogue
    found: tuple[Sequence | Pair, ...] = ()  # if it is to be kept


class PartsEncoder:
    """The encoder of training, for all parts of a record."""

    def __init__(
        self, encoder: Any, encode: Callable[[Any, Any], Sequence | Pair | None], keeps_found: bool = False
    ) -> None:
        self.encoder = encoder
        self._encode = encode
        self.keeps_found = keeps_found

    @property
    def counts(self) -> EncodeCounts:
        return self.encoder.counts

    @counts.setter
    def counts(self, counts: EncodeCounts) -> None:
        self.encoder.counts = counts

    @property
    def max_seq_len(self) -> int:
        return self.encoder.max_seq_len

    def encode(self, parts: list) -> list[Sequence | Pair]:
        return self._encode_by(self.encoder, parts)

    def encode_whole(self, parts: list) -> list[Sequence | Pair]:
        return self._encode_by(self.encoder.with_limit(WITHOUT_LIMIT), parts)

    def _encode_by(self, encoder: Any, parts: list) -> list[Sequence | Pair]:
        found = (self._encode(encoder, part) for part in parts)
        return [one for one in found if one is not None]


def encoded(encoder: PartsEncoder, parts: list) -> Encoded:
    """Of the parts of a record; counts of the encoder are added to."""
    counts, place = encoder.counts, parts[0].place
    before = counts.prompts_cut, counts.solutions_cut + counts.answers_cut
    dropped = dict(counts.dropped)
    try:
        found = encoder.encode(parts)
    except ValueError as error:
        return Encoded(place, refused=str(error))
    prompt_cut = counts.prompts_cut > before[0]
    is_cut = counts.solutions_cut + counts.answers_cut > before[1]
    fits = len(found) == len(parts)
    whole = found if fits and not is_cut else encoder.encode_whole(parts)
    if not whole:
        reasons = [reason for reason, number in counts.dropped.items() if number > dropped.get(reason, 0)]
        left_out = reasons[0] if isinstance(parts[0], Dialogue | AnswerPair) else ""
        return Encoded(place, prompt_cut=prompt_cut, is_scored=False, left_out=left_out)
    kept = tuple(found) if encoder.keeps_found else ()
    return Encoded(place, max(map(_length, whole)), is_cut, fits, prompt_cut, found=kept)


class Tokens:
    name = "tokens"

    def __init__(self, encoder: PartsEncoder) -> None:
        """Of what is added."""
        self.encoder = encoder
        self.left_out: dict[str, Examples] = {}  # by reason
        self.lengths = Histogram()
        self.prompts_cut, self.cut, self.dropped, self.refused = Examples(), Examples(), Examples(), Examples()

    @property
    def counts(self) -> EncodeCounts:
        return self.encoder.counts

    @property
    def max_seq_len(self) -> int:
        return self.encoder.max_seq_len

    def add(self, record: Encoded, number: int) -> str:
        if record.refused:
            self.refused.add(record.refused)
            return "refused by the chat template"
        if record.prompt_cut:
            self.prompts_cut.add(record.place)
        if record.left_out:
            self.left_out.setdefault(record.left_out, Examples()).add(record.place)
        if not record.is_scored:
            return record.left_out
        self.lengths.add(record.length)
        example = f"{record.place}: {record.length:,} tokens"
        if record.is_cut:
            self.cut.add(example)
        if not record.fits:
            self.dropped.add(example)
            return "does not fit into max_seq_len"
        return ""

    @property
    def share_cut(self) -> float:
        total = self.lengths.counts.total()
        return (self.cut.count + self.dropped.count) / total if total else 0.0

    def facts(self) -> dict[str, Any]:
        return {
            "per record": self.lengths.facts(),
            "max_seq_len": self.max_seq_len,
            "share cut by max_seq_len": round(self.share_cut, 6),
            "records cut": self.cut.count,
            "steps cut": self.counts.steps_cut,
            "first wrong steps cut": self.counts.errors_cut,
            "records dropped": self.dropped.count,
            "prompts cut": self.prompts_cut.count,
        }

    def lines(self) -> Iterator[str]:
        yield f"tokens per record: {self.lengths.line()}"
        yield f"  {self.share_cut:.1%} do not fit into max_seq_len {self.max_seq_len:,}"

    def charts(self) -> Iterator[Chart]:
        yield Chart("Tokens per record", self.lengths.bars())

    def findings(self) -> Iterator[Finding]:
        text = f"{count_of(self.refused.count, 'record')} that the chat template refuses"
        yield from self.refused.finding("refused by the chat template", text, "Training stops at the first one.")
        dropped = count_of(self.dropped.count, "record")
        raise_it = f"Raise max_seq_len ({self.max_seq_len:,}), or leave them out."
        text = f"{dropped} dropped: nothing that is scored fits into max_seq_len"
        yield from self.dropped.finding("dropped by max_seq_len", text, raise_it)
        counts = self.counts
        lost = f"{count_of(counts.steps_cut, 'step')} from the end; {counts.errors_cut:,} lose the first wrong step"
        if counts.pairs or counts.learnt:
            lost = f"{count_of(counts.answer_tokens_cut, 'token')} from the ends of their answers"
        text = f"{count_of(self.cut.count, 'record')} cut to max_seq_len: {lost}"
        yield from self.cut.finding("cut by max_seq_len", text, raise_it)
        text = f"{count_of(self.prompts_cut.count, 'prompt')} cut from the left to max_prompt_len"
        yield from self.prompts_cut.finding("prompt cut", text, "Raise max_prompt_len.")
        for reason, seen in self.left_out.items():
            text = f"{count_of(seen.count, 'record')} left out: {reason}"
            yield from seen.finding("left out", text, "Training leaves them out and counts them.")
        if counts.open_prompts:
            text = f"{count_of(counts.open_prompts, 'prompt')} without a line break at the end"
            advice = "Prompt and answer are tokenised apart and joined as they are: end each prompt in a line break."
            yield Finding("open prompt", counts.open_prompts, text, advice, (counts.first_open,))


def _length(encoded: Sequence | Pair) -> int:
    """Of a pair, what it needs in a row: what the answers begin with alike is there once."""
    if isinstance(encoded, Sequence):
        return len(encoded)
    chosen, rejected = encoded.chosen.ids.tolist(), encoded.rejected.ids.tolist()
    shared = next(
        (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), min(len(chosen), len(rejected))
    )
    return len(chosen) + len(rejected) - shared
