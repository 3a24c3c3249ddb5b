"""The final answer of a solution, and which answers are the same."""

import pytest

from llm.search.answers import answer_of, same_answer


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
def test_the_same(one, other):
    assert same_answer(one, other) and same_answer(other, one)


@pytest.mark.parametrize("one, other", [("7", "8"), ("x+1", "1+x"), (None, None), ("1/0", "1"), ("", "0")])
def test_not_the_same(one, other):
    assert not same_answer(one, other)
