"""What can be scored, and what is said of what cannot."""

import pytest

from llm.scoring.solutions import solutions_of


@pytest.mark.parametrize(
    "value",
    [
        {"question": "2 + 3?", "steps": ["2 + 3", " = 5 "]},
        {"src": "2 + 3?", "responses": ["2 + 3", "= 5"]},
        {"src": ["2 + 3?"], "tgt": None, "responses": ["2 + 3", "= 5"], "labels": ["+", "-"], "other": 1},
        {"question": "2 + 3?", "solution": "2 + 3\n \n\n= 5\n"},
        {"src": "2 + 3?", "answer": "2 + 3\n\n= 5"},
        {"question": "2 + 3?", "steps": ["2 + 3", "= 5"], "answer": "5"},
        {"question": "2 + 3?", "solution": "2 + 3\n\n= 5", "answer": "5"},
    ],
)
def test_all_forms_mean_the_same(value):
    (solution,) = solutions_of(value, "rows.jsonl:1", split="blank_line")
    assert (solution.src, solution.tgt, solution.steps) == (("2 + 3?",), (), ("2 + 3", "= 5"))


def test_a_preference_record_has_two_solutions():
    solutions = solutions_of({"src": "2 + 3?", "response": ["5", "6"], "sort": [1, 0]}, "rows.jsonl:1")
    assert [solution.steps for solution in solutions] == [("5",), ("6",)]


@pytest.mark.parametrize(
    "split, text, steps",
    [
        (None, "a\n\nb", ("a\n\nb",)),
        ("line", "a\nb\n\nc", ("a", "b", "c")),
        ("line", "a \x0crac{1}{2}\r\nb\u2028c", ("a \x0crac{1}{2}", "b\u2028c")),
        ("blank_line", "a\nb\n\n\nc", ("a\nb", "c")),
        ("blank_line", "a\r\nb\r\n\r\nc", ("a\r\nb", "c")),
        ("step_k", "Step 1: a\nso b\nStep 2: c, by step 1: d", ("Step 1: a\nso b", "Step 2: c, by step 1: d")),
        ("step_k", "Step 1：三加四是七\nStep 2：是", ("Step 1：三加四是七", "Step 2：是")),  # noqa: RUF001
        ("step_k", "Well.\n**Step 1.** a\n## Step 2: b", ("Well.", "**Step 1.** a", "## Step 2: b")),
    ],
)
def test_a_text_is_split_into_steps(split, text, steps):
    assert solutions_of({"question": "q", "solution": text}, "", split)[0].steps == steps


@pytest.mark.parametrize(
    "value, reasons",
    [
        ("text", ["not an object", "question and steps"]),
        ({"question": "q"}, ["no solution"]),
        ({"steps": ["a"]}, ["no question"]),
        ({"question": "q", "src": "q", "steps": ["a"]}, ["two questions"]),
        ({"question": "q", "steps": ["a"], "solution": "a"}, ["more than one solution", "steps, solution"]),
        ({"question": "q", "steps": []}, ["no steps", "give at least one step"]),
        ({"question": "q", "steps": ["a", " "]}, ["blank step", "steps[1]"]),
        ({"question": "q", "steps": "a"}, ["steps is a string", "write steps as a list of strings"]),
        ({"question": 3, "steps": ["a", 4]}, ["question is a number", "steps[1] is a number"]),
        ({"question": "q", "solution": " \n "}, ["blank solution"]),
        ({"question": "q\ud800", "steps": ["a"]}, ["half of a character"]),
    ],
)
def test_what_cannot_be_scored_is_refused_with_every_reason(value, reasons):
    with pytest.raises(ValueError) as error:
        solutions_of(value, "rows.jsonl:7", split="line")
    assert all(reason in str(error.value) for reason in [*reasons, "rows.jsonl:7"]), str(error.value)
    assert "label" not in str(error.value)
