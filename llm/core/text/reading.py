"""How the records of some data are read, and how what of them is learnt is encoded. No paddle here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from llm.core.records.comparisons import COMPARISON, Comparison, parse_comparison
from llm.core.records.dialogues import DIALOGUE, Dialogue, parse_dialogue
from llm.core.records.judged_answers import JUDGED, parse_judged
from llm.core.records.problem import Problem
from llm.core.records.reward_records import LABELLED, PREFERENCES, parser_of
from llm.core.text.answers import AnswerEncoder
from llm.core.text.encoding import StepEncoder


def as_it_is(record: Any) -> Iterable[Any]:
    return (record,)


@dataclass(frozen=True)
class Reading:
    form: str
    parse: Callable[[object, str], Any | list[Problem]]  # (value, place) -> a record, or all that is wrong with it
    parts: Callable[[Any], Iterable[Any]] = as_it_is  # what of a record is encoded by itself
    make_encoder: Callable[[], Any] | None = None  # that of training
    encode: Callable[[Any, Any], Any] = StepEncoder.encode  # (encoder, part) -> a sequence or a pair, None if dropped
    placeholder: str = ""  # what must not be written inside steps


def reward_reading(
    form: str,
    reward_tokens: Sequence[str] = ("+", "-"),
    placeholder: str = "ки",
    margin: float = 0.0,
    **others: Any,
) -> Reading:
    """Of labelled records, or of preferences; `margin` is that of preferences without one of their own."""
    form = PREFERENCES if form == PREFERENCES else LABELLED
    encode = partial(StepEncoder.encode_pair, default_margin=margin) if form == PREFERENCES else StepEncoder.encode
    return Reading(form, parser_of(form, reward_tokens), encode=encode, placeholder=placeholder, **others)


def dialogue_reading(last_only: bool = False, make_encoder: Callable[[], AnswerEncoder] | None = None) -> Reading:
    """Of dialogues, each up to every answer that is learnt."""
    parts = partial(Dialogue.up_to_answers, last_only=last_only)
    return Reading(DIALOGUE, parse_dialogue, parts, make_encoder, AnswerEncoder.encode)


def judged_reading(make_encoder: Callable[[], AnswerEncoder] | None = None) -> Reading:
    """Of answers that were judged as a whole."""
    return Reading(JUDGED, parse_judged, as_it_is, make_encoder, AnswerEncoder.encode_judged)


def comparison_reading(make_encoder: Callable[[], AnswerEncoder] | None = None) -> Reading:
    """Of answers that were compared, pair by pair."""
    return Reading(COMPARISON, parse_comparison, Comparison.pairs, make_encoder, AnswerEncoder.encode_pair)
