"""Records -> token ids with the positions that are scored: the only place that tokenises.

The text of a solution is `question step ки\\nstep ки` (a blank before the first step and before every placeholder, a
line break before every further step), which is how Math-Shepherd's models were trained. The placeholder is never
tokenised together with a step: its id is appended and its position kept, so neither a step that ends in a letter or
in a line break nor the placeholder's own text inside a record can shift a score.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from llm.core.records import Record
from llm.core.reward_tokens import CONTEXT, RewardTokens, ids_in_context

CACHED_TEXTS = 1 << 16


@dataclass(frozen=True, slots=True)
class Sequence:
    """One solution, encoded. `scored` are the positions of the placeholders, `targets` the labels there."""

    ids: np.ndarray  # [T] int32
    scored: np.ndarray  # [K] int64
    targets: np.ndarray  # [K] float32
    prompt_len: int = 0  # tokens of the prompt, the start token included

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class EncodeCounts:
    """What became of the records: nothing is cut or dropped without being counted here."""

    solutions: int = 0
    tokens: int = 0
    steps: int = 0
    positive: float = 0.0
    prompts_cut: int = 0
    solutions_cut: int = 0
    steps_cut: int = 0
    dropped: Counter = field(default_factory=Counter)

    @property
    def positive_share(self) -> float:
        return self.positive / self.steps if self.steps else 0.0


class StepEncoder:
    """Encodes records for one tokenizer and one set of limits, and counts what it had to cut."""

    def __init__(self, tokenizer, tokens: RewardTokens, max_seq_len: int, max_prompt_len: int):
        self.tokens = tokens
        self.max_seq_len = max_seq_len
        self.max_prompt_len = max_prompt_len
        self.counts = EncodeCounts()
        plain = tokenizer(CONTEXT)["input_ids"]
        bos = tokenizer.bos_token_id
        self._start = [bos] if bos is not None and plain[:1] == [bos] else []
        # Solutions of one question repeat the question and often their first steps.
        self._at_start = lru_cache(CACHED_TEXTS)(
            lambda text: tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        )
        self._in_context = lru_cache(CACHED_TEXTS)(lambda text: ids_in_context(tokenizer, text))

    def encode(self, record: Record) -> Sequence | None:
        """The record as a sequence of at most max_seq_len tokens, or None (counted) if not one step fits."""
        prompt = self._encode_prompt(record)
        ids, scored = list(prompt), []
        for number, step in enumerate(record.steps):
            step_ids = self._encode_step(step, first=number == 0, after_prompt=len(prompt) > len(self._start))
            if len(ids) + len(step_ids) + 1 > self.max_seq_len:
                break
            ids += step_ids
            scored.append(len(ids))
            ids.append(self.tokens.placeholder)
        if not scored:
            self.counts.dropped["first step does not fit into max_seq_len"] += 1
            return None
        self._count(record, ids, scored, prompt_cut=len(prompt) < self._prompt_length(record))
        targets = np.array(record.labels[: len(scored)], "float32")
        return Sequence(np.array(ids, "int32"), np.array(scored, "int64"), targets, len(prompt))

    def _prompt_text(self, record: Record) -> str:
        turns = []
        for number, question in enumerate(record.src):
            turns.append(question)
            turns.extend(record.tgt[number : number + 1])
        return "\n".join(turn.strip() for turn in turns if turn.strip())

    def _prompt_length(self, record: Record) -> int:
        return len(self._start) + len(self._at_start(self._prompt_text(record)))

    def _encode_prompt(self, record: Record) -> list[int]:
        """Cut from the left, because what is asked stands at the end; the start token stays."""
        ids = self._at_start(self._prompt_text(record))
        room = max(self.max_prompt_len - len(self._start), 0)
        return self._start + ids[max(len(ids) - room, 0) :]

    def _encode_step(self, step: str, first: bool, after_prompt: bool) -> list[int]:
        if not first:
            return self._in_context("\n" + step)
        return self._in_context(" " + step) if after_prompt else self._at_start(step)

    def _count(self, record: Record, ids: list[int], scored: list[int], prompt_cut: bool) -> None:
        counts = self.counts
        counts.solutions += 1
        counts.tokens += len(ids)
        counts.steps += len(scored)
        counts.positive += sum(record.labels[: len(scored)])
        counts.prompts_cut += prompt_cut
        counts.solutions_cut += len(scored) < len(record.steps)
        counts.steps_cut += len(record.steps) - len(scored)
