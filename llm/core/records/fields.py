"""The fields of a record, each checked: problems go to `bad` and the remaining fields are still checked, so that all
problems of a record are reported together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeGuard, TypeVar

from llm.core.console import listed
from llm.core.records.problem import Problem, excerpt

TYPE_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}
LARGEST = 1e6  # of weights and margins; much larger ones make a loss infinite or NaN
Default = TypeVar("Default", float, None)
Bad = Callable[[object, str, str, str], None]  # value, reason, detail, remedy


def collector(place: str) -> tuple[list[Problem], Bad]:
    """An empty list, and what adds to it a problem of the record in this place."""
    found: list[Problem] = []

    def bad(shown: object, reason: str, detail: str, remedy: str) -> None:
        found.append(Problem(place, excerpt(shown), reason, detail, remedy))

    return found, bad


def is_object(value: object, fields: str, bad: Bad) -> TypeGuard[dict]:
    """A record is one, with these fields."""
    if isinstance(value, dict):
        return True
    bad(value, "not an object", f"it is {TYPE_NAMES[type(value)]}", f"write {{...}} with {fields}")
    return False


def label_values(reward_tokens: Sequence[str]) -> dict[object, float | None]:
    """What each label that may be written stands for: the two reward tokens, true/false, 1/0, and null for a step
    that is not scored. Where 1 is among them, so is every number from 0 to 1.

    The reward tokens come first: where they contradict the numbers ("0" as the positive one), only they
    count. Other strings ("1", "true") are a sign that data and `reward_tokens` do not belong together.
    """
    if isinstance(reward_tokens, str) or len(reward_tokens) != 2 or reward_tokens[0] == reward_tokens[1]:
        raise ValueError(f"reward_tokens {reward_tokens!r} are not two different tokens; give two")
    positive, negative = reward_tokens
    values: dict[object, float | None] = {positive: 1.0, negative: 0.0, None: None}
    if positive not in ("0", "false") and negative not in ("1", "true"):
        values |= {1: 1.0, 0: 0.0}  # and with them true, false, 1.0 and 0.0, which are equal to these
    return values


def dialogue_of(record: dict, bad: Bad) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what the user said, what the model answered before)"""
    asked, answered = record.get("src", []), record.get("tgt")
    answered = [] if answered is None else answered
    src = texts_of("src", [asked] if isinstance(asked, str) else asked, bad)
    tgt = texts_of("tgt", [answered] if isinstance(answered, str) else answered, bad)
    if src is None or tgt is None or "src" not in record:
        return src or (), tgt or ()
    if len(src) == len(tgt) == 1 and not tgt[0].strip():
        tgt = ()  # "" and [""] are how some tools write that there is none
    if len(src) != len(tgt) + 1:
        detail = f"turns of src: {len(src)}, of tgt: {len(tgt)}"
        remedy = "make src one turn longer than tgt: what is judged answers its last turn"
        bad(list(src + tgt), "src and tgt do not fit", detail, remedy)
    elif tgt and not all(turn.strip() for turn in src + tgt):
        bad(list(src + tgt), "blank turn", "a dialogue needs every turn", "leave it out with its answer")
    return src, tgt


def steps_of(record: dict, bad: Bad) -> tuple[str, ...]:
    if "responses" not in record:
        return ()
    texts = texts_of("responses", record["responses"], bad)
    if texts is None:
        return ()
    if not texts:
        bad([], "no responses", "the list is empty", "give at least one step and its label")
    steps = tuple([text.strip() for text in texts])
    if not all(steps):
        blank = [index for index, step in enumerate(steps) if not step]
        detail = listed([f"responses[{index}]" for index in blank], most=1)
        bad(texts[blank[0]], "blank step", detail, "drop it together with its label")
    return steps


def labels_of(record: dict, values: Mapping[object, float | None], bad: Bad) -> tuple[float | None, ...]:
    """The labels as numbers; if one is unknown, as many zeros, for the lengths to be compared."""
    if "labels" not in record:
        return ()
    labels = record["labels"]
    if not isinstance(labels, list):
        bad(labels, "wrong type", f"labels is {TYPE_NAMES[type(labels)]}", "write a list, one label per step")
        return ()
    if not labels:
        bad([], "no labels", "the list is empty", "give each step one label")
    try:
        return tuple([values[label] for label in labels])
    except (KeyError, TypeError):  # a number between 0 and 1, or no label at all
        pass
    found, unknown = [], []
    for index, label in enumerate(labels):
        try:
            found.append(_label_value(label, values))
        except KeyError:
            unknown.append(index)
    if not unknown:
        return tuple(found)
    _tell_unknown_label(labels[unknown[0]], listed([f"labels[{index}]" for index in unknown], most=1), values, bad)
    return (0.0,) * len(labels)


def _label_value(label: object, values: Mapping[object, float | None]) -> float | None:
    if isinstance(label, list | dict):
        raise KeyError(str(label))
    if label not in values and 1 in values and is_number(label) and 0 <= label <= 1:
        return float(label)
    return values[label]


def _tell_unknown_label(label: object, detail: str, values: Mapping[object, float | None], bad: Bad) -> None:
    if 1 in values and is_number(label):
        remedy = "write a number from 0 (wrong) to 1 (right), or null for a step that is not scored"
        bad(label, "label out of range", detail, remedy)
        return
    tokens = ", ".join(excerpt(token) for token in values if isinstance(token, str))
    numbers = ", a number from 0 to 1, true, false" if 1 in values else ""
    remedy = f"write {tokens}{numbers} or null, or set reward_tokens to the two labels of the data"
    bad(label, "unknown label", detail, remedy)


def answers_of(record: dict, bad: Bad) -> tuple[str, ...]:
    """Two different answers, without the white space around them."""
    texts = texts_of("response", record.get("response", []), bad)
    if texts is None or "response" not in record:
        return ()
    if len(texts) != 2:
        bad(list(texts), "not two answers", f"answers in response: {len(texts)}", "give the two that were compared")
        return ()
    answers = tuple([text.strip() for text in texts])
    if not all(answers):
        detail = f"response[{answers.index('')}]"
        bad(texts[answers.index("")], "empty answer", detail, "leave the record out, or write the answer")
    elif answers[0] == answers[1]:
        bad(answers[0], "equal answers", "both answers of response are this", "leave the record out")
    return answers


def chosen_of(record: dict, bad: Bad) -> int:
    """Which of the two answers is preferred: the one whose number in `sort` is larger."""
    sort = record.get("sort", [1, 0])
    if not isinstance(sort, list) or len(sort) != 2 or not all(is_number(x) and abs(x) < math.inf for x in sort):
        bad(sort, "wrong type", "sort is not two numbers", "write two numbers; the larger one marks the better answer")
        return 0
    if sort[0] == sort[1]:
        bad(sort, "equal sorts", "no answer is preferred", "leave the record out, or write which one is better")
    return int(sort[1] > sort[0])


def number_of(record: dict, key: str, default: Default, least: float, bad: Bad) -> float | Default:
    """An optional number; null is the default."""
    value = record.get(key)
    if value is None:
        return default
    if not is_number(value) or not least <= value <= LARGEST:
        detail = f"{key} is not a number from {least:g} to {LARGEST:g}"
        bad(value, f"bad {key}", detail, "write such a number, or leave it out")
        return default
    return float(value)


def check_characters(texts: Sequence[str], bad: Bad) -> None:
    together = " ".join(texts)
    if together.isascii():
        return
    try:
        together.encode()
    except UnicodeEncodeError as error:
        half = together[max(0, error.start - 20) : error.start + 20]
        bad(half, "lone surrogate", "half of a character", "write the whole character")


def texts_of(key: str, value: object, bad: Bad) -> tuple[str, ...] | None:
    """The strings of a list; None, with the problem reported, if it is something else."""
    if not isinstance(value, list):
        bad(value, "wrong type", f"{key} is {TYPE_NAMES[type(value)]}", f"write {key} as a list of strings")
        return None
    for index, item in enumerate(value):
        if not isinstance(item, str):
            detail = f"{key}[{index}] is {TYPE_NAMES[type(item)]}"
            bad(item, "wrong type", detail, f"write {key} as a list of strings")
            return None
    return tuple(value)


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
