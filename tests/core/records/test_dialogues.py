"""Dialogues of three forms become messages; what cannot be learnt is refused with its place, all problems at once."""

from __future__ import annotations

import json

import pytest

from llm.core.records.dialogues import Dialogue, Message, iter_dialogues, parse_dialogue
from llm.core.records.json_stream import no_progress
from llm.core.records.records import BadRecords, ReadCounts

HELLO = [Message("user", " Hi \n"), Message("assistant", "Hello. ")]
MORE = [*HELLO, Message("user", "And?"), Message("assistant", "Bye")]


@pytest.mark.parametrize(
    "record, messages, weight",
    [
        ({"src": " Hi \n", "tgt": "Hello. "}, HELLO, 1.0),
        ({"src": [" Hi \n", "And?"], "tgt": ["Hello. ", "Bye"], "weight": 0.5}, MORE, 0.5),
        ({"prompt_id": 7, "prompt": " Hi \n", "response": "Hello. ", "source": "web"}, HELLO, 1.0),
        ({"messages": [message._asdict() for message in MORE]}, MORE, 1.0),
        ({"prompt": "", "response": "text"}, [Message("user", ""), Message("assistant", "text")], 1.0),
    ],
)
def test_texts_are_kept_as_they_are(record, messages, weight):
    assert parse_dialogue(record, "f:1") == Dialogue(tuple(messages), "f:1", weight)


def test_a_dialogue_up_to_each_answer_or_the_last():
    dialogue = Dialogue(tuple(MORE), "f:1")
    assert [part.messages for part in dialogue.up_to_answers(last_only=False)] == [tuple(HELLO), tuple(MORE)]
    assert [part.messages for part in dialogue.up_to_answers(last_only=True)] == [tuple(MORE)]


USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    "record, reasons",
    [
        ([], ["not an object"]),
        ({"question": "x"}, ["missing key"]),
        ({"prompt": "x"}, ["missing key"]),
        ({"prompt": "x", "response": "y", "messages": [], "src": "x", "tgt": "y"}, ["record of several forms"]),
        ({"src": ["a", "b"], "tgt": ["c"]}, ["a turn without an answer"]),
        ({"src": ["a", " "], "tgt": ["c", "d"]}, ["blank turn"]),
        ({"prompt": "x", "response": " \n"}, ["blank turn"]),
        ({"prompt": ["x"], "response": 3, "weight": -1}, ["wrong type", "wrong type", "bad weight"]),
        ({"messages": "Hi"}, ["wrong type"]),
        ({"messages": [USER]}, ["no answer at the end"]),
        ({"messages": [USER, {"role": "tool", "content": "4"}]}, ["not a message"]),
        ({"messages": [USER, {"role": "system", "content": "4"}]}, ["not a message"]),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, ["not a message"]),
        ({"messages": [USER, {"role": "assistant", "content": "", "tool_calls": [1]}]}, ["not a message"]),
        ({"prompt": "x", "response": "\ud800"}, ["lone surrogate"]),
    ],
)
def test_what_cannot_be_learnt_is_refused(record, reasons):
    problems = parse_dialogue(record, "f:1")
    assert [problem.reason for problem in problems] == reasons
    assert all(problem.place == "f:1" and problem.remedy for problem in problems)


def test_bad_records_stop_or_are_counted(tmp_path):
    file = tmp_path / "data.jsonl"
    file.write_text("\n".join(map(json.dumps, [{"src": "a", "tgt": "b"}, {"src": "a"}])))
    with pytest.raises(BadRecords, match=r"data.jsonl:2: .*no tgt"):
        list(iter_dialogues([file], ReadCounts(), False, no_progress))
    counts = ReadCounts()
    assert len(list(iter_dialogues([file], counts, True, no_progress))) == 1
    assert (counts.read, counts.kept, dict(counts.dropped)) == (2, 1, {"missing key": 1})
