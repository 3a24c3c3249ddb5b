"""Records -> the token ids of their prompts, plain or in the tokenizer's chat template. No paddle here.

Plain: the turns without the white space around them, one per line. In a template: the same turns as messages of user
and assistant, and then what begins the assistant's turn, so that the steps are this turn. There a special token's name
is the token, be it the template's or a turn's, as wherever templates are used; in a plain prompt it is text.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from llm.core.records.reward_records import Preference, Record
from llm.core.text.chat_template import compile_template
from llm.core.text.reward_tokens import CONTEXT, ids_in_context
from llm.core.text.tokenizer import Tokenizer

CACHED_PROMPTS = 1 << 16
PROBE = "probe"  # stands for a text where only what the template puts around it matters


class Prompt(NamedTuple):
    ids: np.ndarray  # [T] int32
    was_cut: bool
    is_empty: bool = False  # nothing but a start token: the first step begins the text


def prompts_of(tokenizer: Tokenizer, max_prompt_len: int, use_chat_template: bool) -> PlainPrompts | TemplatePrompts:
    return (TemplatePrompts if use_chat_template else PlainPrompts)(tokenizer, max_prompt_len)


class PlainPrompts:
    """The turns, one per line, cut from the left, because the question is at the end; the start token stays."""

    def __init__(self, tokenizer: Tokenizer, max_prompt_len: int):
        self._tokenizer = tokenizer
        self._start = start_ids(tokenizer)
        self._room = max(max_prompt_len - len(self._start), 0)
        self._cut = lru_cache(CACHED_PROMPTS)(self._fit)

    def encode(self, record: Record | Preference) -> Prompt:
        return self._cut(record.src, record.tgt)

    def first_step(self, step: str, begins_text: bool) -> list[int]:
        return self._at_start(step) if begins_text else ids_in_context(self._tokenizer, " " + step)

    def _at_start(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"] if text else []

    def _fit(self, src: tuple[str, ...], tgt: tuple[str, ...]) -> Prompt:
        turns = [message["content"] for message in messages_of(src, tgt)]
        ids = self._at_start("\n".join(turn for turn in turns if turn))
        kept = ids[max(len(ids) - self._room, 0) :]
        return Prompt(array_of(self._start + kept), was_cut=len(kept) < len(ids), is_empty=not kept)


class TemplatePrompts:
    """The dialogue in the tokenizer's chat template. One that is too long loses its oldest exchanges, and what is still
    too long the beginning of its question, so that the template itself stays whole."""

    def __init__(self, tokenizer: Tokenizer, max_prompt_len: int):
        self._tokenizer = tokenizer
        self._max_prompt_len = max_prompt_len
        self._render = compile_template(tokenizer)
        self._lead, self._blank = self._before_first_step()
        self._fitted = lru_cache(CACHED_PROMPTS)(self._fit)
        if (least := len(self._encode((CONTEXT,), ()))) > max_prompt_len:
            raise ValueError(
                f"max_prompt_len {max_prompt_len}: the chat template with one letter has {least} tokens, which leaves "
                "none for what is asked. Raise max_prompt_len, or set use_chat_template to false."
            )

    def encode(self, record: Record | Preference) -> Prompt:
        try:
            return self._fitted(record.src, record.tgt)
        except ValueError as error:
            raise ValueError(f"{record.place}: {error}") from None

    def first_step(self, step: str, begins_text: bool) -> list[int]:
        return self._in_context(" " + step) if self._blank else self._without_blank(step)

    def _fit(self, src: tuple[str, ...], tgt: tuple[str, ...]) -> Prompt:
        ids = self._encode(src, tgt)
        if len(ids) <= self._max_prompt_len:
            return Prompt(array_of(ids), was_cut=False)
        while len(src) > 1:
            src, tgt = src[1:], tgt[1:]
            ids = self._encode(src, tgt)
            if len(ids) <= self._max_prompt_len:
                return Prompt(array_of(ids), was_cut=True)
        (question,) = src
        first = bisect_left(
            range(len(question)), True, key=lambda n: len(self._encode((question[n:],), ())) <= self._max_prompt_len
        )
        return Prompt(array_of(self._encode((question[first:],), ())), was_cut=True)

    def _encode(self, src: tuple[str, ...], tgt: tuple[str, ...]) -> list[int]:
        return self._ids(self._render(messages_of(src, tgt), add_generation_prompt=True)) + self._lead

    def _ids(self, rendered: str) -> list[int]:
        """Without a start token, which a template writes itself."""
        return self._tokenizer(rendered, add_special_tokens=False, split_special_tokens=False)["input_ids"]

    def _before_first_step(self) -> tuple[list[int], bool]:
        """What the template puts between the prompt and an answer, such as Llama 2's blank: ids, and whether the answer
        has a blank before it. Where the tokenizer would join the answer with the prompt's end ("]" with "(" to "]("),
        they stay apart, as they are for a model that answers."""
        question = messages_of((PROBE,), ())
        prompt = self._render(question, add_generation_prompt=True)
        if PROBE not in prompt:
            raise ValueError("use_chat_template: the chat template leaves out what the user says. Give another one.")
        answered = self._render_answer(question)
        tail = prompt[prompt.rindex(PROBE) + len(PROBE) :]
        lead, written, _ = answered[len(prompt) :].partition(PROBE) if answered.startswith(prompt) else ("", "", "")
        before, whole = self._ids(CONTEXT + tail), self._ids(CONTEXT + tail + (lead if written else "") + PROBE)
        after = whole[len(before) :] if whole[: len(before)] == before else []
        for blank, step in ((True, self._in_context(" " + PROBE)), (False, self._without_blank(PROBE))):
            if after[-len(step) :] == step:
                return after[: -len(step)], blank
        return [], False

    def _render_answer(self, question: list[dict[str, str]]) -> str:
        """The question with its answer; nothing for a template that takes no answer at the end."""
        try:
            return self._render([*question, {"role": "assistant", "content": PROBE}], add_generation_prompt=False)
        except ValueError:
            return ""

    def _in_context(self, text: str) -> list[int]:
        return ids_in_context(self._tokenizer, text)

    def _without_blank(self, step: str) -> list[int]:
        return self._in_context("\n" + step)[len(self._in_context("\n")) :]


def array_of(ids: list[int]) -> np.ndarray:
    return np.array(ids, "int32")


def messages_of(src: tuple[str, ...], tgt: tuple[str, ...]) -> list[dict[str, str]]:
    """The turns in their order; there is one more of the user than of the assistant."""
    messages = []
    for number, question in enumerate(src):
        messages.append({"role": "user", "content": question.strip()})
        messages += [{"role": "assistant", "content": answer.strip()} for answer in tgt[number : number + 1]]
    return messages


def start_ids(tokenizer: Tokenizer) -> list[int]:
    """What the tokenizer puts before a text: the start token, or nothing."""
    whole, text = tokenizer(CONTEXT)["input_ids"], tokenizer(CONTEXT, add_special_tokens=False)["input_ids"]
    return next(whole[:n] for n in range(len(whole)) if whole[n : n + len(text)] == text)
