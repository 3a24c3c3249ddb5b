"""The final answer of a solution, and which answers are the same."""

import threading

import pytest

from llm.scoring import final_answers as answers
from llm.scoring.final_answers import answer_of, groups_of, same_answer


@pytest.fixture(params=["with math-verify", "without it"])
def either(request, monkeypatch):
    if request.param == "without it":
        monkeypatch.setattr(answers, "is_installed", lambda: False)
    else:
        pytest.importorskip("math_verify")


@pytest.mark.parametrize(
    "text, answer",
    [
        ("so \\boxed{4}, no, \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("Step 2: 3 + 4 = 7 The answer is: 7", "7"),
        ("a\n#### 1,200", "1,200"),
        ("The answer is 3. Wait. The answer is 5", "5"),
        ("no end", None),
        ("\\boxed{4", None),
    ],
)
def test_the_last_answer_counts(text, answer):
    assert answer_of(text) == answer


@pytest.mark.parametrize(
    "one, other",
    [
        ("0.5", "\\frac{1}{2}"),
        ("$1,200$", "1200"),
        ("50%", "1/2"),
        ("7.", "7.0"),
        ("x + 1", "x+1"),
        ("\\text{Yes}", "yes"),
    ],
)
def test_the_same(one, other, either):
    assert same_answer(one, other) and same_answer(other, one)


@pytest.mark.parametrize(
    "one, other",
    [("7", "8"), ("x+1", "x-1"), (None, None), ("1/0", "1"), ("", "0"), ("abc", "cab"), ("A", "B"), ("[0,1)", "(0,1)")],
)
def test_not_the_same(one, other, either):
    assert not same_answer(one, other)


EXPRESSIONS = [
    ("x+1", "1+x"),
    ("\\sqrt{8}", "2\\sqrt{2}"),
    ("(x-1)(x+1)", "x^2-1"),
    ("\\{1,2\\}", "\\{2,1\\}"),
    ("10^{3}", "1000"),
    ("6 \\text{ cm}", "6"),
]


@pytest.mark.parametrize("one, other", EXPRESSIONS)
def test_the_same_as_expressions(one, other):
    pytest.importorskip("math_verify")
    assert same_answer(one, other) and same_answer(other, one)
    found = []  # its limit of time is a signal, which no other thread may set
    thread = threading.Thread(target=lambda: found.append(same_answer(one, other)))
    thread.start()
    thread.join()
    assert found == [True]


def test_without_math_verify_expressions_are_texts_and_the_note_says_what_to_install(monkeypatch):
    monkeypatch.setattr(answers, "is_installed", lambda: False)
    assert not any(same_answer(one, other) for one, other in EXPRESSIONS)
    assert answers.compared_by() == "numbers and texts" and "pip install math-verify" in answers.note()


def test_answers_are_grouped_by_what_they_are_equal_to(either):
    given = ["0.5", "x + 1", None, "\\frac{1}{2}", "x+1", "7", "50%", None]
    assert groups_of(given) == [0, 1, -1, 0, 1, 2, 0, -1]


def test_expressions_are_grouped_where_math_verify_is_there():
    pytest.importorskip("math_verify")
    assert groups_of(["x+1", "2\\sqrt{2}", "1+x", "\\sqrt{8}", "x"]) == [0, 1, 0, 1, 2]


def test_each_text_is_compared_once_with_each_group(monkeypatch):
    compared = []
    monkeypatch.setattr(answers, "same_answer", lambda one, other: compared.append((one, other)) or one[0] == other[0])
    assert groups_of(["a1", "a2", "b1", "a1", "a2", "b2"] * 50) == [0, 0, 1, 0, 0, 1] * 50
    assert compared == [("a2", "a1"), ("b1", "a1"), ("b2", "a1"), ("b2", "b1")]
