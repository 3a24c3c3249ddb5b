"""What the rows of each format with judged steps mean."""

from __future__ import annotations

import math

import pytest

from llm.data.convert.form import Unfit
from llm.data.convert.placeholders import NO_QUESTION, TAIL
from tests.data.convert.rows import KI, ROWS, TOKEN, labels, made, notes, nothing, records


def only(name, changes=None, **options) -> dict:
    (record,) = records(name, changes, **options)
    return record


def record(question, steps, labels) -> dict:
    return {"src": [question], "tgt": [], "responses": steps, "labels": labels}


# ---- numbers, as published files have them


@pytest.mark.parametrize("written", [1, 1.0, "1", "1.0"])
def test_ratings_and_step_numbers_are_taken_however_they_are_written(written):
    assert labels("prm800k-candidates", {"rating": written}) == [["+", "+"]]
    assert labels("processbench", {"label": written}) == [["+", "-", "-"]]
    assert labels("prmbench", {"error_steps": [written]}) == [["-", "+", "+"]]
    assert labels("trl", {"labels": [written, False]}) == [["+", "-"]]
    assert labels("special-token", {"label": [written, 0]}) == [["+", "-"]]
    assert labels("openrlhf", {"value": [written, "-"]}) == [["+", "-"]]


@pytest.mark.parametrize("missing", [None, math.nan, "", "nan"])
def test_a_missing_number_is_one_however_it_is_written(missing):
    assert nothing("prm800k-candidates", {"rating": missing}) == "no rating"
    assert nothing("processbench", {"label": missing}) == "no label"
    assert labels("special-token", {"label": [missing, 1]}) == [[None, "+"]]
    for name, changes in (("trl", {"labels": [missing, True]}), ("prmbench", {"error_steps": [missing]})):
        with pytest.raises(Unfit):
            made(name, changes)


@pytest.mark.parametrize("value", [True, 0.5, 2, "one", math.inf, [1], {}])
def test_what_is_no_rating_is_refused(value):
    for name, field in (("prm800k-candidates", "rating"), ("processbench", "label")):
        if not (name == "processbench" and value == 2 and value is not True):
            with pytest.raises(Unfit):
                made(name, {field: value})


@pytest.mark.parametrize("value", [0.5, 2, -1, "yes", math.inf, None, [True]])
def test_what_is_neither_true_nor_false_is_refused(value):
    with pytest.raises(Unfit):
        made("trl", {"labels": [True, value]})


# ---- formats


def test_a_prm800k_candidate_is_judged_after_earlier_steps_that_are_right():
    assert only("prm800k-candidates") == record("1 + 1 + 1?", ["1 + 1 = 2", "2 + 1 = 3"], ["+", "+"])
    assert [labels("prm800k-candidates", {"rating": rating}) for rating in (0, -1)] == [[["+", "+"]], [["+", "-"]]]
    assert labels("prm800k-candidates", {"rating": -1, "responses": []}) == [["-"]]


def test_processbench_steps_are_wrong_from_the_first_wrong_one_on():
    assert only("processbench") == record("1 + 1 + 1?", ROWS["processbench"]["steps"], ["+", "-", "-"])
    found = [labels("processbench", {"label": label})[0] for label in (-1, 0, 2)]
    assert found == [["+", "+", "+"], ["-", "-", "-"], ["+", "+", "-"]]
    for label in (3, -2):
        with pytest.raises(Unfit, match="label beyond the steps"):
            made("processbench", {"label": label})


def test_prmbench_steps_are_wrong_where_error_steps_says_counted_from_1():
    assert only("prmbench") == record("1 + 1?", ["1. a", "2. b", "3. c"], ["-", "+", "-"])
    assert labels("prmbench", {"error_steps": []}) == [["+", "+", "+"]]
    assert nothing("prmbench", {"error_steps": [2, 4]}) == "error_steps beyond the steps"
    for error in (0, -1, True):
        with pytest.raises(Unfit):
            made("prmbench", {"error_steps": [error]})


def test_blank_steps_are_dropped_with_their_labels_and_counted():
    """The numbers of error_steps count them."""
    changes = {"modified_process": ["1. a", " ", "2. b", "", "3. c"], "error_steps": [2, 3]}
    assert only("prmbench", changes)["responses"] == ["1. a", "2. b", "3. c"]
    assert labels("prmbench", changes) == [["+", "-", "+"]]
    assert notes("prmbench", changes) == {"blank steps left out": 2}
    assert nothing("processbench", {"steps": [" "], "label": -1}) == "no step"


def test_trl_labels_are_true_or_false():
    assert only("trl") == record("Simple is better", ["than", "complex."], ["+", "-"])
    with pytest.raises(Unfit, match="differ in number"):
        made("trl", {"labels": [True]})


def test_math_shepherd_signs_are_read_at_the_placeholders():
    """The text has signs of its own, and may have the placeholder's letters."""
    assert only("math-shepherd") == record("1 + 1?", ["Step 1: 1 + 1 = 2", "Step 2: It is - 3"], ["+", "-"])
    text = f"Как{KI}е? Step 1: та{KI} + {KI}"
    assert only("math-shepherd", {"input": text, "label": text[: -len(KI)] + "-"}) == record(
        f"Как{KI}е?", [f"Step 1: та{KI} +"], ["-"]
    )


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"input": "no placeholder", "label": "no placeholder"}, "no placeholder"),
        ({"input": f"a {KI}", "label": "b +"}, "label is not input with signs"),
        ({"input": f"a {KI}", "label": "a + more"}, "label is not input with signs"),
        ({"input": f"a {KI} b {KI}", "label": "a +"}, "label is not input with signs"),
        ({"input": f"a {KI}", "label": "a ?"}, "no sign"),
        ({"input": f"a {KI}", "label": "a "}, "no sign"),
    ],
)
def test_a_label_that_is_another_text_is_refused(changes, told):
    with pytest.raises(Unfit, match=told):
        made("math-shepherd", changes)


def test_a_text_without_step_1_keeps_its_question_in_the_first_step():
    changes = {"input": f"1 + 1? It is 2 {KI}", "label": "1 + 1? It is 2 +"}
    assert only("math-shepherd", changes) == record("", ["1 + 1? It is 2"], ["+"])
    assert notes("math-shepherd", changes) == {NO_QUESTION: 1}


def test_text_after_the_last_placeholder_is_left_out_and_counted():
    text = f"q Step 1: a {KI} and more"
    assert labels("math-shepherd", {"input": text, "label": text.replace(KI, "+")}) == [["+"]]
    assert notes("math-shepherd", {"input": text, "label": text.replace(KI, "+")}) == {TAIL: 1}


def test_special_tokens_are_as_many_as_labels():
    assert only("special-token") == record("1 + 1?", ["It is 2", "So 3"], ["+", "-"])
    assert labels("special-token", {"label": [0.25, True]}) == [[0.25, "+"]]
    other = {"prompt": "Question: q\nAnswer: a<|step|>b<|step|>"}
    assert only("special-token", other, placeholder="<|step|>")["responses"] == ["a", "b"]
    for changes in ({"label": [1]}, other, {"label": [1, 0, 1]}):
        with pytest.raises(Unfit, match="special tokens and labels differ in number"):
            made("special-token", changes)


def test_a_prompt_with_an_empty_list_of_labels_is_dropped():
    assert nothing("special-token", {"prompt": f"Question: q {KI}\nb {KI}\nAnswer: ", "label": []}) == "no labels"
    assert nothing("special-token", {"prompt": f"Question: q\nAnswer: a{TOKEN}", "label": []}) == "no labels"


def test_openrlhf_takes_signs_and_values_and_prefers_values():
    assert only("openrlhf") == record("1 + 1?", ["Step 1: It is 2", "Step 2: So 3"], ["+", "-"])
    assert labels("openrlhf", {"value": [0.5, 1.0]}) == [[0.5, "+"]]
    both = {"inputs": ROWS["openrlhf"]["input"], "labels": ["+", "-"], "values": [0.75, 0.0], "value": None}
    assert labels("openrlhf", both) == [[0.75, "-"]]
    assert labels("openrlhf", both | {"values": None}) == [["+", "-"]]
    assert labels("openrlhf", both, threshold=0.75) == [["-", "-"]]
    with pytest.raises(Unfit, match="placeholders and labels differ in number"):
        made("openrlhf", {"value": ["+"]})
    with pytest.raises(Unfit, match="label out of range"):
        made("openrlhf", {"value": [1.5, "+"]})


def test_rlhflow_turns_are_steps_and_signs():
    assert only("rlhflow") == record("1 + 1?", ["Step 1: It is 2", "Step 2: So 3"], ["+", "-"])
    turns = ROWS["rlhflow"]["conversations"]
    assert labels("rlhflow", {"conversations": turns[:3]}) == [["+"]]
    with pytest.raises(Unfit, match="no sign"):
        made("rlhflow", {"conversations": [turns[0], {"role": "assistant", "content": "good"}]})
    with pytest.raises(Unfit, match="do not alternate"):
        made("rlhflow", {"conversations": [turns[0], turns[2]]})


def test_columns_are_steps_with_labels_or_an_answer_with_its_label():
    assert only("columns") == record("1 + 1?", ["It is 2", "So 3"], ["+", 0.25])
    assert only("columns", {"steps": '["a", "b"]', "labels": "[1, null]"})["responses"] == ["a", "b"]
    text = {"steps": "a\n\nb\n\n", "labels": "[1, 0]", "weight": "0.5"}
    assert only("columns", text, step_separator="\n\n") == record("1 + 1?", ["a", "b"], ["+", "-"]) | {"weight": 0.5}
    with pytest.raises(Unfit, match="one text for all steps"):
        made("columns", text)


def test_soft_labels_are_cut_where_that_is_asked_for():
    """Above the threshold they are right: with 0 a single continuation that reached the answer is enough."""
    row = {"labels": [0.25, 0]}
    assert labels("columns", row) == [[0.25, "-"]]
    assert [labels("columns", row, threshold=share)[0] for share in (0.0, 0.2, 0.25)] == [
        ["+", "-"],
        ["+", "-"],
        ["-", "-"],
    ]
