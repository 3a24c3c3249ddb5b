"""Answers that were judged as a whole: rows on disk -> validated answers, of one of two forms.

    {"prompt": "text", "response": "text", "label": true, false or a number from 0 to 1}      other keys are ignored
    {"src": ["question"], "tgt": [], "responses": ["step", "step"], "labels": ["+", "-"]}     as for reward models

Of the second form the label is that of the last step; its steps are joined by line breaks, and each turn of the user
ends with one. Each record may have a `weight`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llm.core.records.dialogues import ASSISTANT, USER, Dialogue, Message
from llm.core.records.fields import (
    check_characters,
    collector,
    is_number,
    is_object,
    label_values,
    number_of,
    texts_of,
)
from llm.core.records.problem import Problem
from llm.core.records.records import ReadCounts, stream_records
from llm.core.records.reward_records import LEAST_WEIGHT, MISSING_KEY, Record, parse_record

JUDGED = "judged answer"
FIELDS = ("prompt", "response", "label")
OF_STEPS = label_values(("+", "-"))


@dataclass(frozen=True, slots=True)
class JudgedAnswer(Dialogue):
    """How right its last answer is, from 0 to 1."""

    label: float = 0.0


def iter_judged(
    files: list[Path], counts: ReadCounts, skip_bad: bool, progress: Callable[[int], object]
) -> Iterator[JudgedAnswer]:
    """As `records.iter_records`."""
    return stream_records(files, parse_judged, counts, skip_bad, progress)


def parse_judged(value: object, place: str) -> JudgedAnswer | list[Problem]:
    """The judged answer that a JSON value is, or all that is wrong with it."""
    if isinstance(value, Problem):
        return [value]
    if isinstance(value, dict) and ("responses" in value or "labels" in value):
        record = parse_record(value, place, OF_STEPS)
        return record if isinstance(record, list) else _of_steps(record)
    return _of_texts(value, place)


def _of_steps(record: Record) -> JudgedAnswer | list[Problem]:
    label = record.labels[-1]
    if label is None:
        detail, remedy = "the answer is judged as its last step is", "label it, or leave the record out"
        return [Problem(record.place, "null", "no label of the last step", detail, remedy)]
    return JudgedAnswer(messages_of(record), record.place, record.weight, label)


def messages_of(record: Record) -> tuple[Message, ...]:
    """The dialogue, and the steps as one answer."""
    turns = [Message(USER, text if text.endswith("\n") else f"{text}\n") for text in record.src]
    answers = [Message(ASSISTANT, text) for text in (*record.tgt, "\n".join(record.steps))]
    return tuple(message for turn in zip(turns, answers, strict=True) for message in turn)


def _of_texts(value: object, place: str) -> JudgedAnswer | list[Problem]:
    found, bad = collector(place)
    if not is_object(value, ", ".join(FIELDS), bad):
        return found
    if missing := [key for key in FIELDS if key not in value]:
        bad(list(value), MISSING_KEY, f"no {', '.join(missing)}", f"a record has {', '.join(FIELDS)}")
        return found
    prompt, response = (texts_of(key, [value[key]], bad) for key in FIELDS[:2])
    label = value["label"]
    if not isinstance(label, bool) and not (is_number(label) and 0 <= label <= 1):
        bad(label, "unknown label", "label", "write true, false or a number from 0 (wrong) to 1 (right)")
    if response and not response[0].strip():
        bad(response[0], "empty answer", "response", "leave the record out, or write the answer")
    weight = number_of(value, "weight", 1.0, LEAST_WEIGHT, bad)
    check_characters([*(prompt or ()), *(response or ())], bad)
    if found or not prompt or not response:
        return found
    return JudgedAnswer((Message(USER, prompt[0]), Message(ASSISTANT, response[0])), place, weight, float(label))
