"""Dialogues -> token ids with the answer that is learnt, plain or in the tokenizer's chat template. No paddle here.

Plain, for base models: the texts of the dialogue joined as they are, each tokenised by itself, with the end token
after every answer. In a template: what it writes before the answer, and the answer with what it writes to end it.
Only the last message is learnt; a dialogue with several answers is encoded up to each of them, and what these have in
common is one branch of a prefix tree.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from llm.core.records.comparisons import AnswerPair
from llm.core.records.dialogues import ASSISTANT, USER, Dialogue, Message
from llm.core.records.judged_answers import JudgedAnswer
from llm.core.text.chat_template import compile_template
from llm.core.text.encoding import EncodeCounts, Pair, Sequence, cut_in_proportion
from llm.core.text.prompts import start_ids
from llm.core.text.reward_tokens import CONTEXT
from llm.core.text.tokenizer import Tokenizer

CACHED_PROMPTS = 1 << 14
CACHED_ANSWERS = 64  # each is in several pairs of its group
NO_TARGET = np.zeros(0, "float32")
Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Answer(Sequence):
    """A sequence that is learnt as text: at each scored position the token after it."""


@dataclass(frozen=True, slots=True)
class LabelledAnswer(Answer):
    """An answer that is judged as a whole: it has one label."""


class Prompt(NamedTuple):
    ids: list[int]
    first: int  # tokens up to the first answer of the dialogue, by which dialogues are grouped
    was_cut: bool


class Texts(Protocol):
    """How messages are written."""

    def prompt(self, messages: Messages) -> Prompt | None:
        """What comes before an answer; None if it cannot be made as short as max_prompt_len."""

    def answer(self, messages: Messages) -> list[int]:
        """The last message, with what ends it."""


def texts_of(tokenizer: Tokenizer, max_prompt_len: int, use_chat_template: bool) -> Texts:
    return (TemplateTexts if use_chat_template else PlainTexts)(tokenizer, max_prompt_len)


class AnswerEncoder:
    """Encodes dialogues for one tokenizer and one set of limits, and counts what it had to cut."""

    def __init__(self, tokenizer: Tokenizer, max_seq_len: int, max_prompt_len: int, use_chat_template: bool):
        self.counts = EncodeCounts()
        self.max_seq_len = max_seq_len
        self.warns_of_open_prompts = not use_chat_template
        texts = texts_of(tokenizer, max_prompt_len, use_chat_template)
        self._prompt = lru_cache(CACHED_PROMPTS)(texts.prompt)
        self._answer = lru_cache(CACHED_ANSWERS)(texts.answer)

    def with_limit(self, max_seq_len: int) -> AnswerEncoder:
        """The same with another limit, and with counts of its own; what was encoded before is shared."""
        other = copy.copy(self)
        other.max_seq_len, other.counts = max_seq_len, EncodeCounts()
        return other

    def encode(self, dialogue: Dialogue) -> Answer | None:
        """At most max_seq_len tokens, or None (counted) if nothing of the answer can be learnt."""
        prompt, answer = self._ids(dialogue.place, dialogue.messages)
        if prompt is None:
            return None
        kept = answer[: self.max_seq_len - len(prompt.ids)]
        found = _answer_of(prompt, kept, prompt.first, dialogue.weight, dialogue.place)
        if not len(found.scored):
            self.counts.dropped["answer without a token that follows from another"] += 1
            return None
        self._count_prompt(dialogue.messages[:-1], prompt, dialogue.place)
        self._count_answer(found, len(answer) - len(kept))
        return found

    def encode_judged(self, judged: JudgedAnswer) -> LabelledAnswer | None:
        """As `encode`, with the label. Answers are grouped by their whole prompt, so that equal ones are learnt from
        the same tokens on."""
        if (answer := self.encode(judged)) is None:
            return None
        label, prompt_len = np.array([judged.label], "float32"), int(answer.scored[0]) + 1
        return LabelledAnswer(answer.ids, answer.scored, label, prompt_len, answer.weight, answer.place)

    def encode_pair(self, pair: AnswerPair) -> Pair | None:
        """Both answers behind their prompt, together at most max_seq_len tokens, or None (counted) if what is left of
        them is the same. What is too long is cut from the ends of both in proportion to their lengths."""
        both = [self._ids(pair.place, messages) for messages in pair.dialogues()]
        prompt = both[0][0]
        if prompt is None:
            return None
        answers = [answer for _, answer in both]
        kept = cut_in_proportion(answers, self.max_seq_len - len(prompt.ids))
        if kept is None or kept[0] == kept[1] or not all(kept):
            self.counts.dropped["answers do not differ within max_seq_len"] += 1
            return None
        chosen, rejected = (_answer_of(prompt, ids, len(prompt.ids), 0.0, pair.place) for ids in kept)
        if not len(chosen.scored) or not len(rejected.scored):
            self.counts.dropped["answer without a token that follows from another"] += 1
            return None
        self.counts.pairs += 1
        self._count_prompt(pair.messages, prompt, pair.place)
        for answer, whole in zip((chosen, rejected), answers, strict=True):
            self._count_answer(answer, len(prompt.ids) + len(whole) - len(answer))
        return Pair(chosen, rejected, 0.0, pair.weight, pair.place)

    def _ids(self, place: str, messages: Messages) -> tuple[Prompt | None, list[int]]:
        """Of what comes before the answer, None (counted) if it is too long, and of the answer."""
        try:
            prompt = self._prompt(messages[:-1])
            answer = self._answer(messages)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
        if prompt is None:
            self.counts.dropped["prompt does not fit into max_prompt_len"] += 1
        return prompt, answer

    def _count_prompt(self, before: Messages, prompt: Prompt, place: str) -> None:
        counts = self.counts
        counts.prompts_cut += prompt.was_cut
        if self.warns_of_open_prompts and before and before[-1].content and not before[-1].content.endswith("\n"):
            counts.open_prompts += 1
            counts.first_open = counts.first_open or place

    def _count_answer(self, answer: Answer, lost: int) -> None:
        counts = self.counts
        counts.solutions += 1
        counts.tokens += len(answer)
        counts.learnt += len(answer.scored)
        counts.answers_cut += lost > 0
        counts.answer_tokens_cut += lost


def _answer_of(prompt: Prompt, ids: list[int], prompt_len: int, weight: float, place: str) -> Answer:
    """`prompt_len` tokens are what groups answers."""
    whole = np.array(prompt.ids + ids, "int32")
    scored = np.arange(max(len(prompt.ids), 1) - 1, len(whole) - 1)
    return Answer(whole, scored, NO_TARGET, prompt_len, weight, place)


class PlainTexts:
    """Joined as they are; a prompt that is too long is cut from the left, and the start token stays."""

    def __init__(self, tokenizer: Tokenizer, max_prompt_len: int):
        if tokenizer.eos_token_id is None:
            raise ValueError(
                "the tokenizer names no end token (eos_token in tokenizer_config.json), so a model could not learn "
                "where an answer ends. Name it there."
            )
        self._tokenizer, self._end = tokenizer, tokenizer.eos_token_id
        self._start = start_ids(tokenizer)
        self._room = max(max_prompt_len - len(self._start), 0)

    def prompt(self, messages: Messages) -> Prompt:
        ids: list[int] = []
        first = None
        for message in messages:
            if message.role == ASSISTANT and first is None:
                first = len(ids)
            ids += self._ids(message, is_first=not ids)
        kept = ids[max(len(ids) - self._room, 0) :]
        was_cut = len(kept) < len(ids)
        whole = self._start + kept
        return Prompt(whole, len(whole) if first is None or was_cut else len(self._start) + first, was_cut)

    def answer(self, messages: Messages) -> list[int]:
        return self._ids(messages[-1], is_first=not any(message.content for message in messages[:-1]))

    def _ids(self, message: Message, is_first: bool) -> list[int]:
        text = message.content
        if is_first:
            ids = self._tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        else:
            ids = ids_behind(self._tokenizer, text)
        return [*ids, self._end] if message.role == ASSISTANT else ids


class TemplateTexts:
    """In the chat template. A dialogue that is too long loses its oldest exchanges."""

    def __init__(self, tokenizer: Tokenizer, max_prompt_len: int):
        self._tokenizer = tokenizer
        self._max_prompt_len = max_prompt_len
        self._render = compile_template(tokenizer)

    def prompt(self, messages: Messages) -> Prompt | None:
        kept = messages
        ids = self._ids(self._before_answer(kept))
        while len(ids) > self._max_prompt_len:
            begins = [number for number, message in enumerate(kept) if message.role == USER]
            if len(begins) < 2:
                return None
            kept = kept[: begins[0]] + kept[begins[1] :]
            ids = self._ids(self._before_answer(kept))
        return Prompt(ids, self._first(messages, ids), was_cut=kept != messages)

    def _first(self, messages: Messages, ids: list[int]) -> int:
        answers = [number for number, message in enumerate(messages) if message.role == ASSISTANT]
        if not answers:
            return len(ids)
        lead = self._ids(self._before_answer(messages[: answers[0]]))
        return len(lead) if ids[: len(lead)] == lead else len(ids)

    def answer(self, messages: Messages) -> list[int]:
        """Where the tokenizer would join the answer with what is before it they stay apart, as they are for a model
        that answers."""
        before, whole = self._before_answer(messages[:-1]), self._write(messages, add_generation_prompt=False)
        if not whole.startswith(before):
            raise ValueError(
                "use_chat_template: the template writes the dialogue with its answer in another way than the dialogue "
                "before it, so the answer cannot be found in it. Set use_chat_template to false, or give another one."
            )
        text, content = whole[len(before) :].rstrip(), messages[-1].content.strip()
        start = self._ids(before)
        ids = self._ids(before + text)
        ids = ids[len(start) :] if ids[: len(start)] == start else ids_behind(self._tokenizer, text, split=False)
        end = self._tokenizer.eos_token_id
        return [*ids, end] if text.endswith(content) and end is not None else ids  # the template ends no answer itself

    def _before_answer(self, messages: Messages) -> str:
        return self._write(messages, add_generation_prompt=True)

    def _write(self, messages: Messages, add_generation_prompt: bool) -> str:
        as_dicts = [{"role": message.role, "content": message.content} for message in messages]
        return self._render(as_dicts, add_generation_prompt=add_generation_prompt)

    def _ids(self, rendered: str) -> list[int]:
        """Without a start token, which a template writes itself."""
        return self._tokenizer(rendered, add_special_tokens=False, split_special_tokens=False)["input_ids"]


def ids_behind(tokenizer: Tokenizer, text: str, split: bool = True) -> list[int]:
    """The ids of `text` after other text: behind a line break, or behind a letter where the tokenizer would join the
    text with the line break."""
    for context in (CONTEXT + "\n", CONTEXT):
        before, whole = (
            tokenizer(part, add_special_tokens=False, split_special_tokens=split)["input_ids"]
            for part in (context, context + text)
        )
        if whole[: len(before)] == before:
            return whole[len(before) :]
    raise ValueError(
        f"This tokenizer joins {text[:20]!r} with any text before it, so it has no ids of its own. Use a tokenizer "
        "that splits at white space (Llama's, Mistral's and Qwen's do)."
    )
