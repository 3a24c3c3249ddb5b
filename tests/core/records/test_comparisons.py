"""Records of compared answers: their forms, their pairs, and everything that is wrong with them."""

from __future__ import annotations

import pytest

from llm.core.records.comparisons import AnswerPair, Comparison, parse_comparison
from llm.core.records.dialogues import Message

ASKED, ANSWERED = Message("user", "q\n"), Message("assistant", "a")
RANKED = {"src": ["q\n"], "response": ["best ", "worse", "as bad"], "sort": [3, 1, 1]}
TEXTS = {"prompt_id": "7", "prompt": "q\n", "chosen": "good", "rejected": "bad", "weight": 2}


def chat(*contents: str, system: str = "") -> list[dict]:
    roles = ("user", "assistant")
    head = [{"role": "system", "content": system}] if system else []
    return head + [{"role": roles[n % 2], "content": content} for n, content in enumerate(contents)]


@pytest.mark.parametrize(
    "record, messages, answers, ranks, weight",
    [
        (RANKED, (ASKED,), ("best ", "worse", "as bad"), (3, 1, 1), 1),
        (RANKED | {"src": ["q\n", "more"], "tgt": ["a"]}, (ASKED, ANSWERED, Message("user", "more")), None, None, 1),
        (TEXTS, (ASKED,), ("good", "bad"), (1, 0), 2),
        ({"chosen": chat("q\n", "x"), "rejected": chat("q\n", "y")}, (ASKED,), ("x", "y"), (1, 0), 1),
        (
            {"prompt": chat("q\n"), "chosen": chat("", "x")[1:], "rejected": chat("", "y")[1:]},
            *((ASKED,), ("x", "y"), (1, 0), 1),
        ),
        (
            {"prompt": "q\n", "chosen": chat("q\n", "x", system="s"), "rejected": chat("q\n", "y", system="s")},
            *((Message("system", "s"), ASKED), ("x", "y"), (1, 0), 1),
        ),
    ],
)
def test_forms(record, messages, answers, ranks, weight):
    found = parse_comparison(record, "a:1")
    assert isinstance(found, Comparison), found
    assert found.messages == messages and found.weight == weight and found.place == "a:1"
    assert answers is None or (found.answers, found.ranks) == (answers, ranks)


def test_a_group_compares_each_better_answer_with_each_worse_one():
    found = parse_comparison(RANKED | {"response": ["a", "b", "c", "d"], "sort": [1, 2, 1, 0]}, "a:1")
    assert [pair.chosen + pair.rejected for pair in found.pairs()] == ["ad", "ba", "bc", "bd", "cd"]
    assert next(found.pairs()) == AnswerPair((ASKED,), "a", "d", "a:1")


@pytest.mark.parametrize(
    "changed, message",
    [
        ([], "not an object"),
        ({"prompt": "q"}, "missing key (no chosen, rejected)"),
        ({"src": ["q"], "response": ["a", "b"]}, "missing key (no sort)"),
        (RANKED | TEXTS, "record of several forms"),
        (RANKED | {"sort": [1, 1, 1]}, "equal sorts"),
        (RANKED | {"sort": [1, 2]}, "response and sort do not fit (response: 3, sort: 2)"),
        (RANKED | {"sort": [1, 2, float("inf")]}, "sort is not a list of numbers"),
        (RANKED | {"response": ["a"], "sort": [1]}, "response and sort do not fit"),
        (RANKED | {"response": ["a", " ", "b"]}, "empty answer (answer 2)"),
        (RANKED | {"response": ["a", "b", "a"]}, "equal answers"),
        (RANKED | {"src": ["q", "r"]}, "src and tgt do not fit"),
        (TEXTS | {"chosen": "bad"}, "equal answers"),
        (TEXTS | {"rejected": 3}, "rejected[0] is a number"),
        (TEXTS | {"weight": 0}, "bad weight"),
        (TEXTS | {"chosen": "\ud800"}, "lone surrogate"),
        ({"chosen": chat("q", "x"), "rejected": chat("p", "y")}, "two dialogues"),
        ({"chosen": chat("q"), "rejected": chat("q", "y")}, "no answer at the end"),
        ({"chosen": chat("", "x")[1:], "rejected": chat("", "y")[1:]}, "answers to nothing"),
        ({"prompt": "p", "chosen": chat("q", "x"), "rejected": chat("q", "y")}, "two prompts"),
        ({"chosen": [{"role": "bot", "content": ""}], "rejected": chat("q", "y")}, "chosen[0] has the role"),
    ],
)
def test_what_is_wrong_is_said(changed, message):
    problems = parse_comparison(changed, "a:1")
    assert isinstance(problems, list)
    assert message in "\n".join(map(str, problems))


def test_equal_answers_of_equal_rank_are_no_contradiction():
    found = parse_comparison(RANKED | {"response": ["a", "b", "b"]}, "a:1")
    assert [(pair.chosen, pair.rejected) for pair in found.pairs()] == [("a", "b"), ("a", "b")]
