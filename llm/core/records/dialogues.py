"""What a model is to answer: rows on disk -> validated dialogues, of one of three forms.

    {"src": "question" or [turns], "tgt": "answer" or [as many turns]}
    {"prompt": "text", "response": "text"}                              prompt_id and other keys are ignored
    {"messages": [{"role": "user", "content": "text"}, {"role": "assistant", "content": "text"}]}

Each may have a `weight`. Texts are kept as they are: white space at their ends is learnt, too. Only the first prompt
may be blank; no answer may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from llm.core.records.fields import TYPE_NAMES, Bad, check_characters, collector, is_object, number_of, texts_of
from llm.core.records.problem import Problem, excerpt
from llm.core.records.records import ReadCounts, stream_records
from llm.core.records.reward_records import LEAST_WEIGHT, MISSING_KEY

DIALOGUE = "dialogue"  # the form of these records
SYSTEM, USER, ASSISTANT = ROLES = ("system", "user", "assistant")
FORMS = (("src", "tgt"), ("prompt", "response"), ("messages",))
OF_REWARDS = {"responses", "labels", "sort"}
FIELDS = "src and tgt, or prompt and response, or messages (role and content)"


class Message(NamedTuple):
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Messages of which the last is an answer, what each token of its answers counts, where it was read."""

    messages: tuple[Message, ...]
    place: str
    weight: float = 1.0

    def up_to_answers(self, last_only: bool) -> Iterator[Dialogue]:
        """The dialogue as it was at each of its answers, or at the last one."""
        for end in range(len(self.messages) if last_only else 1, len(self.messages) + 1):
            if self.messages[end - 1].role == ASSISTANT:
                yield replace(self, messages=self.messages[:end])


def is_dialogue(value: object) -> bool:
    """Whether a record has all fields of one of the forms, and none that records of rewards have."""
    return (
        isinstance(value, dict)
        and OF_REWARDS.isdisjoint(value)
        and any(all(key in value for key in form) for form in FORMS)
    )


def iter_dialogues(
    files: list[Path], counts: ReadCounts, skip_bad: bool, progress: Callable[[int], object]
) -> Iterator[Dialogue]:
    """As `records.iter_records`."""
    return stream_records(files, parse_dialogue, counts, skip_bad, progress)


def parse_dialogue(value: object, place: str) -> Dialogue | list[Problem]:
    """The dialogue that a JSON value is, or all that is wrong with it."""
    if isinstance(value, Problem):
        return [value]
    found, bad = collector(place)
    if not is_object(value, FIELDS, bad):
        return found

    begun = [form for form in FORMS if any(key in value for key in form)]
    forms = [form for form in begun if all(key in value for key in form)]
    if len(begun) > 1 and len(forms) != 1:
        bad(list(value), "record of several forms", f"it has keys of {len(begun)} forms", f"write one of: {FIELDS}")
    elif not forms:
        missing = ", ".join(key for key in (begun or FORMS)[0] if key not in value)
        bad(list(value), MISSING_KEY, f"no {missing}", f"a record has {FIELDS}")
    if found:
        return found
    messages = _messages_of(value, forms[0], bad)
    weight = number_of(value, "weight", 1.0, LEAST_WEIGHT, bad)
    check_characters([message.content for message in messages], bad)
    return found or Dialogue(messages, place, weight)


def _messages_of(value: dict, form: tuple[str, ...], bad: Bad) -> tuple[Message, ...]:
    if form == ("messages",):
        return chat_of("messages", value["messages"], bad)
    asked, answered = (_turns(key, value[key], bad) for key in form)
    if asked is None or answered is None:
        return ()
    if not asked or len(asked) != len(answered):
        detail = f"turns of {form[0]}: {len(asked)}, of {form[1]}: {len(answered)}"
        bad([*asked, *answered], "a turn without an answer", detail, "give every turn its answer")
        return ()
    messages = []
    for question, answer in zip(asked, answered, strict=True):
        messages += [Message(USER, question), Message(ASSISTANT, answer)]
    _check_blank(messages, bad)
    return tuple(messages)


def _turns(key: str, value: object, bad: Bad) -> tuple[str, ...] | None:
    takes_list = key in ("src", "tgt") and isinstance(value, list)
    return texts_of(key, value if takes_list else [value], bad)


def chat_of(key: str, value: object, bad: Bad) -> tuple[Message, ...]:
    """Messages of which the last is an answer; empty, with the problem reported, if it is something else."""
    messages = _messages(key, value, bad)
    if messages and messages[-1].role != ASSISTANT:
        what = {"role": messages[-1].role, "content": messages[-1].content}
        bad(what, "no answer at the end", f"it is of the {messages[-1].role}", "leave it out, or give its answer")
    _check_blank(messages, bad)
    return messages


def chat_of_prompt(value: object, bad: Bad) -> tuple[Message, ...]:
    """Messages that are to be answered."""
    messages = _messages("prompt", value, bad)
    _check_blank(messages, bad)
    return messages


def _messages(key: str, value: object, bad: Bad) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        bad(value, "wrong type", f"{key} is not a list of messages", 'write [{"role": "user", "content": ...}, ...]')
        return ()
    messages = []
    for number, entry in enumerate(value):
        if why := _why_not_a_message(entry, number):
            bad(entry, "not a message", f"{key}[{number}] {why}", "write a role and its content")
            return ()
        messages.append(Message(entry["role"], entry["content"]))
    return tuple(messages)


def _why_not_a_message(entry: object, number: int) -> str:
    if not isinstance(entry, dict):
        return f"is {TYPE_NAMES[type(entry)]}"
    role, content = entry.get("role"), entry.get("content")
    if role not in ROLES:
        return f"has the role {excerpt(role)}; known are {', '.join(ROLES)}"
    if role == SYSTEM and number:
        return "is of the system, which can only speak first"
    if not isinstance(content, str):
        return f"has a content that is {TYPE_NAMES[type(content)]}, not a string"
    return "has tool_calls, which would be lost" if entry.get("tool_calls") else ""


def _check_blank(messages: Sequence[Message], bad: Bad) -> None:
    for number, message in enumerate(messages):
        if not message.content.strip() and (number or message.role == ASSISTANT):
            bad(message.content, "blank turn", f"turn {number} of the {message.role}", "leave it out with its answer")
            return
