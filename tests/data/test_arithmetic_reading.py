"""A question of the arithmetic generator is understood, and no other text."""

import pytest

from llm.data.arithmetic_reading import read_problem
from llm.data.generate_arithmetic import problems

QUESTION = "Mia has 3 apples. At lunch she eats 2. How many apples does Mia have now?"


@pytest.mark.parametrize("split", ["train", "dev"])
def test_every_question_is_read_as_it_was_made(split):
    for problem in problems(300, split=split):
        assert read_problem(problem.question) == problem


def test_totals_may_be_larger():
    for problem in problems(100, largest_number=60):
        read = read_problem(problem.question)
        assert (read.start, read.events) == (problem.start, problem.events) and read.largest_number >= 9


def test_a_short_one():
    assert [event.sign for event in read_problem(QUESTION).events] == ["-"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "q",
        "What is 2 + 3?",
        QUESTION.replace("Mia", "Bob"),
        QUESTION.replace("she", "he"),
        QUESTION.replace("apples", "coins"),
        QUESTION.replace("eats 2", "eats 3"),  # none is left
        QUESTION.replace("eats 2", "eats some"),
        QUESTION.replace("At lunch she eats 2. ", ""),
        QUESTION.removesuffix(" How many apples does Mia have now?"),
        f"{QUESTION} And then?",
        "a " * 100_000,
        "Mia has 3 apples. " + "at lunch " * 20_000 + "How many apples does Mia have now?",
    ],
)
def test_other_texts_are_none(text):
    assert read_problem(text) is None
