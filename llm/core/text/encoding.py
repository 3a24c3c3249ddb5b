"""Records -> token ids with the positions that are scored: the only place that tokenises.

The text of a solution is `question step ки\\nstep ки` (a blank before the first step and before every placeholder, a
line break before every further step), which is how Math-Shepherd's models were trained. The placeholder is never
tokenised together with a step: its id is appended and its position kept, so neither a step that ends in a letter or
in a line break nor the placeholder's own text inside a record can shift a score.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from llm.core.records.reward_records import Preference, Record
from llm.core.text.prompts import array_of, prompts_of
from llm.core.text.reward_tokens import RewardTokens, ids_in_context
from llm.core.text.tokenizer import Tokenizer

CACHED_TEXTS = 1 << 16
INT32, INT64, FLOAT32 = np.dtype("int32"), np.dtype("int64"), np.dtype("float32")


@dataclass(frozen=True, slots=True)
class Sequence:
    """One solution, encoded. `scored` are the positions of the placeholders that are scored, `labels` the labels there,
    each of which counts `weight` in the loss: nothing for an answer of a pair."""

    ids: np.ndarray  # [T] int32
    scored: np.ndarray  # [K] int64
    labels: np.ndarray  # [K] float32
    prompt_len: int = 0  # tokens of the prompt, the start token included
    weight: float = 1.0
    place: str = ""  # where its record was read
    error_cut: bool = False  # its first wrong step was cut away, so that nobody can find it

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple:
        """Between processes as plain bytes, in half of the time that arrays take."""
        arrays = self.ids.tobytes(), self.scored.tobytes(), self.labels.tobytes()
        return _sequence_of, (type(self), *arrays, self.prompt_len, self.weight, self.place, self.error_cut)


def _sequence_of(kind: type[Sequence], ids: bytes, scored: bytes, labels: bytes, *others: Any) -> Sequence:
    """Arrays that own their memory, as those of the encoder do: a view with its bytes needs several times as much."""
    return kind(
        np.frombuffer(ids, INT32).copy(),
        np.frombuffer(scored, INT64).copy(),
        np.frombuffer(labels, FLOAT32).copy(),
        *others,
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt, of which the first should have the larger reward, by `margin` at least."""

    chosen: Sequence
    rejected: Sequence
    margin: float
    weight: float
    place: str = ""


@dataclass
class EncodeCounts:
    """What became of the records: nothing is cut or dropped without being counted here."""

    solutions: int = 0
    pairs: int = 0
    tokens: int = 0
    steps: int = 0
    positive: int = 0
    prompts_cut: int = 0
    solutions_cut: int = 0
    steps_cut: int = 0
    errors_cut: int = 0  # solutions whose first wrong step was cut away
    soft: int = 0  # labels between right and wrong
    first_soft: str = ""  # where the first of them was read
    answers_cut: int = 0
    answer_tokens_cut: int = 0
    learnt: int = 0  # tokens of answers that are learnt
    open_prompts: int = 0  # prompts of plain text that do not end in a line break
    first_open: str = ""  # where the first of them was read
    dropped: Counter = field(default_factory=Counter)

    def add(self, other: EncodeCounts) -> None:
        for name, value in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, mine or value if isinstance(value, str) else mine + value)

    @property
    def positive_share(self) -> float:
        return self.positive / self.steps if self.steps else 0.0


class StepEncoder:
    """Encodes records for one tokenizer and one set of limits, and counts what it had to cut."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        tokens: RewardTokens,
        max_seq_len: int,
        max_prompt_len: int,
        use_chat_template: bool = False,
    ):
        self.tokens = tokens
        self.max_seq_len = max_seq_len
        self.counts = EncodeCounts()
        self._prompts = prompts_of(tokenizer, max_prompt_len, use_chat_template)
        # Each with the placeholder behind it. Solutions of one question often share their first steps.
        self._first_step = lru_cache(CACHED_TEXTS)(lambda *step: self._scored(self._prompts.first_step(*step)))
        self._later_step = lru_cache(CACHED_TEXTS)(lambda step: self._scored(ids_in_context(tokenizer, "\n" + step)))

    def with_limit(self, max_seq_len: int) -> StepEncoder:
        """The same with another limit, and with counts of its own; what was encoded before is shared."""
        other = copy.copy(self)
        other.max_seq_len, other.counts = max_seq_len, EncodeCounts()
        return other

    def _scored(self, step: list[int]) -> np.ndarray:
        return array_of([*step, self.tokens.placeholder])

    def encode(self, record: Record) -> Sequence | None:
        """The record as a sequence of at most max_seq_len tokens, or None (counted) if none of its labels is left.
        Steps behind the last label would be computed for nothing, and are left out."""
        labelled = len(record.labels)
        while labelled and record.labels[labelled - 1] is None:
            labelled -= 1
        if not labelled:
            self.counts.dropped["without a label to learn from"] += 1
            return None
        prompt = self._prompts.encode(record)
        parts, length = [prompt.ids], len(prompt.ids)
        ends: list[int] = []
        for step in record.steps[:labelled]:
            ids = self._later_step(step) if ends else self._first_step(step, prompt.is_empty)
            length += len(ids)
            if length > self.max_seq_len:
                break
            parts.append(ids)
            ends.append(length - 1)
        inside = record.labels[: len(ends)]
        scored = [end for end, label in zip(ends, inside, strict=True) if label is not None]
        if not scored:
            self.counts.dropped["first labelled step does not fit into max_seq_len"] += 1
            return None
        labels = [label for label in inside if label is not None]
        cut = [label for label in record.labels[len(ends) :] if label is not None]
        error_cut = _has_error(cut) and not _has_error(labels)
        ids = np.concatenate(parts[: ends.index(scored[-1]) + 2])
        self._count([ids], labels, prompt_cut=prompt.was_cut, steps_cut=len(cut))
        self.counts.errors_cut += error_cut
        if soft := len(labels) - labels.count(0.0) - labels.count(1.0):
            self.counts.soft += soft
            self.counts.first_soft = self.counts.first_soft or record.place
        return Sequence(
            ids,
            np.array(scored, INT64),
            np.array(labels, FLOAT32),
            len(prompt.ids),
            record.weight,
            record.place,
            error_cut,
        )

    def encode_pair(self, preference: Preference, default_margin: float) -> Pair | None:
        """Both answers behind their prompt, together at most max_seq_len tokens, or None (counted) if what is left of
        them is the same. What is too long is cut from the ends of both in proportion to their lengths."""
        prompt = self._prompts.encode(preference)
        texts = preference.chosen, preference.rejected
        answers = [self._first_step(text, prompt.is_empty)[:-1].tolist() for text in texts]
        kept = cut_in_proportion(answers, self.max_seq_len - len(prompt.ids) - len(answers))
        if kept is None or kept[0] == kept[1] or not all(kept):
            self.counts.dropped["answers do not differ within max_seq_len"] += 1
            return None
        lost = [len(answer) - len(rest) for answer, rest in zip(answers, kept, strict=True)]
        self.counts.pairs += 1
        self.counts.answers_cut += sum(map(bool, lost))
        self.counts.answer_tokens_cut += sum(lost)
        prompt_len = len(prompt.ids)
        whole = [[*prompt.ids, *answer, self.tokens.placeholder] for answer in kept]
        self._count(whole, [], prompt_cut=prompt.was_cut, steps_cut=0)
        chosen, rejected = (
            Sequence(np.array(ids, "int32"), np.array([len(ids) - 1]), np.zeros(1, "float32"), prompt_len, weight=0.0)
            for ids in whole
        )
        margin = default_margin if preference.margin is None else preference.margin
        return Pair(chosen, rejected, margin, preference.weight, preference.place)

    def _count(self, solutions: list[Any], labels: list[float], prompt_cut: bool, steps_cut: int) -> None:
        counts = self.counts
        counts.solutions += len(solutions)
        counts.tokens += sum(map(len, solutions))
        counts.steps += len(labels)
        counts.positive += sum([label > 0.5 for label in labels])
        counts.prompts_cut += prompt_cut
        counts.solutions_cut += steps_cut > 0
        counts.steps_cut += steps_cut


def _has_error(labels: list[float]) -> bool:
    return any(label <= 0.5 for label in labels)


def cut_in_proportion(answers: list[list[int]], room: int) -> list[list[int]] | None:
    """Both answers within `room` tokens together, what they begin with alike counted once; None if that alone is too
    much."""
    shared = next((i for i, (a, b) in enumerate(zip(*answers, strict=False)) if a != b), min(map(len, answers)))
    rests = [len(answer) - shared for answer in answers]
    if sum(rests) <= room - shared:
        return answers
    if room <= shared:
        return None
    kept = max((room - shared) * rests[0] // sum(rests), min(rests[0], 1))
    kept = min(kept, room - shared - min(rests[1], 1))  # where there is room for two tokens, at least one of each
    return [answers[0][: shared + kept], answers[1][: room - kept]]
