"""Answers that were compared: rows on disk -> validated comparisons, of one of three forms.

    {"src": "question" or [turns], "tgt": [one turn fewer], "response": [answers], "sort": [a number for each]}
    {"prompt": "text", "chosen": "text", "rejected": "text"}       prompt_id and other keys are ignored
    {"chosen": [messages], "rejected": [messages]}                 `prompt`: the messages before both, if it has them

Of two answers the one with the larger number in `sort` is chosen; equal numbers compare nothing. Each record may have a
`weight`. Texts are kept as they are: white space at their ends is learnt, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llm.core.records.dialogues import ASSISTANT, USER, Message, chat_of, chat_of_prompt
from llm.core.records.fields import (
    Bad,
    check_characters,
    collector,
    dialogue_of,
    is_number,
    is_object,
    number_of,
    texts_of,
)
from llm.core.records.problem import Problem
from llm.core.records.records import ReadCounts, stream_records
from llm.core.records.reward_records import LEAST_WEIGHT, MISSING_KEY

COMPARISON = "comparison"  # the form of these records
RANKED, PAIR = ("src", "response", "sort"), ("chosen", "rejected")
FIELDS = "src, response (answers) and sort (a number for each), or prompt, chosen and rejected"
Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """A dialogue that ends with a question, two answers to it, what the pair counts, where it was read."""

    messages: Messages
    chosen: str
    rejected: str
    place: str
    weight: float = 1.0

    def dialogues(self) -> tuple[Messages, Messages]:
        """With the chosen and with the rejected answer."""
        return (*self.messages, Message(ASSISTANT, self.chosen)), (*self.messages, Message(ASSISTANT, self.rejected))


@dataclass(frozen=True, slots=True)
class Comparison:
    messages: Messages
    answers: tuple[str, ...]
    ranks: tuple[float, ...]  # the larger one is of the better answer
    place: str
    weight: float = 1.0

    def pairs(self) -> Iterator[AnswerPair]:
        """Every better answer with every worse one."""
        for chosen, high in zip(self.answers, self.ranks, strict=True):
            for rejected, low in zip(self.answers, self.ranks, strict=True):
                if high > low:
                    yield AnswerPair(self.messages, chosen, rejected, self.place, self.weight)


def iter_comparisons(
    files: list[Path], counts: ReadCounts, skip_bad: bool, progress: Callable[[int], object]
) -> Iterator[Comparison]:
    """As `records.iter_records`."""
    return stream_records(files, parse_comparison, counts, skip_bad, progress)


def parse_comparison(value: object, place: str) -> Comparison | list[Problem]:
    """The comparison that a JSON value is, or all that is wrong with it."""
    if isinstance(value, Problem):
        return [value]
    found, bad = collector(place)
    if not is_object(value, FIELDS, bad):
        return found

    begun = [form for form in (RANKED, PAIR) if any(key in value for key in form[-2:])]
    if len(begun) > 1:
        bad(list(value), "record of several forms", "it has sort or response, and chosen", f"write one of: {FIELDS}")
        return found
    form = (begun or [PAIR])[0]
    if form == PAIR and not isinstance(value.get("chosen"), list):
        form = ("prompt", *PAIR)
    if missing := [key for key in form if key not in value]:
        bad(list(value), MISSING_KEY, f"no {', '.join(missing)}", f"a record has {FIELDS}")
        return found
    messages, answers, ranks = {RANKED: _ranked, PAIR: _chats}.get(form, _texts)(value, bad)
    weight = number_of(value, "weight", 1.0, LEAST_WEIGHT, bad)
    check_characters([*(message.content for message in messages), *answers], bad)
    if not found:
        _check_answers(answers, ranks, bad)
    return found or Comparison(messages, answers, ranks, place, weight)


Parts = tuple[Messages, tuple[str, ...], tuple[float, ...]]
NOTHING: Parts = ((), (), ())
FIRST_IS_BETTER = (1.0, 0.0)


def _ranked(value: dict, bad: Bad) -> Parts:
    src, tgt = dialogue_of(value, bad)
    answers = texts_of("response", value["response"], bad) or ()
    sort = value["sort"]
    if not isinstance(sort, list) or not all(is_number(rank) and abs(rank) < float("inf") for rank in sort):
        bad(sort, "wrong type", "sort is not a list of numbers", "write a number for each answer, larger for better")
    elif len(sort) != len(answers) or len(answers) < 2:
        detail = f"response: {len(answers)}, sort: {len(sort)}"
        bad(list(answers), "response and sort do not fit", detail, "give two answers or more, and each its number")
    elif len(set(sort)) == 1:
        bad(sort, "equal sorts", "no answer is preferred", "leave the record out, or write which one is better")
    else:
        messages = [Message(USER, src[0])] if src else []
        for answered, asked in zip(tgt, src[1:], strict=False):
            messages += [Message(ASSISTANT, answered), Message(USER, asked)]
        return tuple(messages), answers, tuple(map(float, sort))
    return NOTHING


def _texts(value: dict, bad: Bad) -> Parts:
    prompt, chosen, rejected = (texts_of(key, [value[key]], bad) for key in ("prompt", *PAIR))
    if prompt is None or chosen is None or rejected is None:
        return NOTHING
    return (Message(USER, prompt[0]),), chosen + rejected, FIRST_IS_BETTER


def _chats(value: dict, bad: Bad) -> Parts:
    prompt = value.get("prompt")
    before = chat_of_prompt(prompt, bad) if isinstance(prompt, list) else ()
    chosen, rejected = (chat_of(key, value[key], bad) for key in PAIR)
    if not chosen or not rejected or (isinstance(prompt, list) and not before):
        return NOTHING
    if chosen[:-1] != rejected[:-1]:
        bad(value["rejected"], "two dialogues", "chosen and rejected differ before the last answer", "compare answers")
    messages = before + chosen[:-1]
    if not messages or messages[-1].role != USER:
        detail = "before the answers there is no message of the user"
        bad(value["chosen"], "answers to nothing", detail, "put the messages that are answered before both answers")
    if isinstance(prompt, str) and prompt not in [message.content for message in messages]:
        bad(prompt, "two prompts", "no message has this text", "write the prompt as a message, or leave it out")
    return messages, (chosen[-1].content, rejected[-1].content), FIRST_IS_BETTER


def _check_answers(answers: tuple[str, ...], ranks: tuple[float, ...], bad: Bad) -> None:
    rank_of: dict[str, float] = {}
    for number, (answer, rank) in enumerate(zip(answers, ranks, strict=True), 1):
        if not answer.strip():
            bad(answer, "empty answer", f"answer {number}", "leave it out, or write the answer")
        elif rank_of.setdefault(answer, rank) != rank:
            bad(answer, "equal answers", "this answer is chosen and rejected", "leave one of them out")
