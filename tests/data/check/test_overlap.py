"""Questions in both data sets: all that are equal or nearly equal, and no others."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from llm.data.check.overlap import NEARLY, SAME, HeldOutQuestions, Overlap, word_pairs
from tests.data.check.records import measured, record

LONG = "Tom has three pens and he buys four more pens at the market on the way home from school to read and write"
QUESTIONS = st.lists(
    st.lists(st.sampled_from("abcdefghijk"), min_size=1, max_size=24).map(" ".join), min_size=1, max_size=8
)


def held_out(*questions: str) -> HeldOutQuestions:
    known = HeldOutQuestions()
    for number, question in enumerate(questions):
        known.add(record(1.0, question=question, number=number))
    known.close()
    return known


def jaccard(one: str, other: str) -> Fraction:
    a, b = word_pairs(one), word_pairs(other)
    return Fraction(len(a & b), len(a | b))


@given(QUESTIONS, QUESTIONS, st.data())
def test_a_nearly_equal_question_is_found_exactly_if_there_is_one(known, asked, data):
    """The short way finds what comparing all with all finds."""
    words = data.draw(st.sampled_from(known)).split()
    words.insert(data.draw(st.integers(0, len(words))), "d")
    questions = held_out(*known)
    for question in [*asked, " ".join(words)]:
        place = questions.find_nearly(question)
        near = [n for n, other in enumerate(known) if jaccard(question, other) >= Fraction(4, 5)]
        assert place in [f"data.jsonl:{number}" for number in near] if near else place == ""


def test_equal_questions_are_told_from_nearly_equal_and_other_ones():
    both, said = measured(
        Overlap(held_out("1 + 1?", LONG)),
        record(1.0, question=" 1 +  1?", number=5),
        record(0.0, question="1 - 1?"),
        record(1.0, question=LONG.replace("school", "work"), number=6),
        record(1.0, question=LONG.replace("school", "work"), number=7),
        record(1.0, question=LONG.replace("pens", "pencils")),  # twice
    )
    assert said == [SAME, "", NEARLY, NEARLY, ""]
    assert both.facts() == {
        "questions held out": 2,
        "questions in both": 1,
        "records of them": 1,
        "questions nearly in both": 1,
        "records of these": 2,
    }
    same, nearly = both.findings()
    assert same.examples == ("data.jsonl:5 and data.jsonl:0: 1 + 1?",)
    assert nearly.count == 2 and nearly.examples[0].startswith("data.jsonl:6 and data.jsonl:1: tom has three pens")
