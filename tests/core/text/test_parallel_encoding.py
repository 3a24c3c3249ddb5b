"""Several processes give the sequences and the counts of one, in the same order, and its errors."""

from __future__ import annotations

import pickle
import random
from dataclasses import fields

import numpy as np
import pytest

from llm.core.records.reward_records import Record
from llm.core.text import parallel_encoding
from llm.core.text.answers import Answer
from llm.core.text.encoding import EncodeCounts, Sequence, StepEncoder
from llm.core.text.parallel_encoding import encode_all


@pytest.fixture
def records() -> list[Record]:
    draw = random.Random(4)
    found = []
    for number in range(200):
        steps = tuple(f"{draw.randrange(9)} + {draw.randrange(9)} = 7" for _ in range(draw.randrange(1, 6)))
        labels = tuple(draw.choice([0.0, 1.0, None]) for _ in steps)
        found.append(Record((f"question {number // 4}?",), (), steps, labels, f"file:{number}"))
    return found


@pytest.mark.runs
@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("at_a_time", [1, 7, 1000])
def test_as_one_process(tokenizer, tokens, records, monkeypatch, processes, at_a_time):
    monkeypatch.setattr(parallel_encoding, "AT_A_TIME", at_a_time)
    encoders = [StepEncoder(tokenizer, tokens, 40, 20) for _ in range(2)]
    alone, together = (
        list(encode_all(records, encoder, StepEncoder.encode, count))
        for encoder, count in zip(encoders, (1, processes), strict=True)
    )
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)
    counts = encoders[0].counts
    assert encoders[1].counts == counts
    assert counts.dropped and counts.solutions_cut and counts.prompts_cut == 0 < counts.solutions


@pytest.mark.parametrize("kind", [Sequence, Answer])
def test_a_sequence_is_the_same_in_another_process(kind):
    arrays = np.array([1, 2, 3, 4], "int32"), np.array([1, 3]), np.array([0.5, 1.0], "float32")
    one = kind(*arrays, prompt_len=1, weight=2.0, place="file:7", error_cut=True)
    assert_same(one, pickle.loads(pickle.dumps(one, pickle.HIGHEST_PROTOCOL)))


def assert_same(one: Sequence, other: Sequence) -> None:
    assert type(one) is type(other)
    for field in fields(one):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        assert type(mine) is type(theirs) and np.array_equal(mine, theirs), field.name
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype and theirs.flags.writeable and theirs.flags.owndata


def test_all_counts_are_added():
    one, other = EncodeCounts(), EncodeCounts()
    numbers = [name for name, value in vars(one).items() if isinstance(value, int)]
    for number, name in enumerate(numbers):
        setattr(one, name, number)
        setattr(other, name, 10)
    one.dropped["a"] += 1
    other.dropped.update(a=2, b=1)
    other.first_soft = "there"
    one.add(other)
    assert [getattr(one, name) for name in numbers] == [10 + number for number in range(len(numbers))]
    assert (one.dropped, one.first_soft) == ({"a": 3, "b": 1}, "there")
    one.add(EncodeCounts(first_soft="later"))
    assert one.first_soft == "there"


def _fail(encoder: StepEncoder, record: Record) -> None:
    raise ValueError(f"{record.place}: no")


@pytest.mark.runs
def test_an_error_of_a_process_is_that_of_the_run(tokenizer, tokens, records):
    with pytest.raises(ValueError, match="file:0: no"):
        list(encode_all(records, StepEncoder(tokenizer, tokens, 40, 20), _fail, 2))
