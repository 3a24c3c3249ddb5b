"""Preference records, and telling which form data has."""

from __future__ import annotations

import json

import pytest

from llm.core.records.records import BadRecords, find_form, read_records
from llm.core.records.reward_records import LABELLED, PREFERENCES, Preference, parse_preference

GOOD = {"src": ["q"], "tgt": [], "response": ["better ", "worse"], "sort": [1, 0]}
STEPS = {"src": ["q"], "responses": ["s"], "labels": ["+"]}


def write(path, *values):
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def report_of(path, form=PREFERENCES, **more) -> str:
    with pytest.raises(BadRecords) as caught:
        read_records(path, form=form, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    "changed, chosen, margin, weight",
    [
        ({}, "better", None, 1.0),
        ({"sort": [0, 1]}, "worse", None, 1.0),
        ({"sort": [-2.5, -3]}, "better", None, 1.0),
        ({"margin": 0.5, "weight": 3}, "better", 0.5, 3.0),
        ({"margin": None, "weight": None, "tgt": None}, "better", None, 1.0),
    ],
)
def test_the_answer_with_the_larger_sort_is_chosen(changed, chosen, margin, weight):
    rejected = {"better": "worse", "worse": "better"}[chosen]
    wanted = Preference(("q",), (), chosen, rejected, margin, "a:1", weight)
    assert parse_preference(GOOD | changed, "a:1") == wanted


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"sort": [1, 1]}, "[1, 1] - equal sorts (no answer is preferred); leave the record out"),
        ({"sort": [1]}, "[1] - wrong type (sort is not two numbers)"),
        ({"sort": [1, "0"]}, "sort is not two numbers"),
        ({"sort": [True, False]}, "sort is not two numbers"),
        ({"response": ["a"]}, '["a"] - not two answers (answers in response: 1); give the two that were compared'),
        ({"response": ["a", "b", "c"]}, "not two answers (answers in response: 3)"),
        ({"response": ["a", " \n"]}, "empty answer (response[1])"),
        ({"response": ["a", "a "]}, '"a" - equal answers'),
        ({"response": "a"}, "response is a string"),
        ({"response": ["a", None]}, "response[1] is null"),
        ({"margin": -1}, "-1 - bad margin (margin is not a number from 0 to 1e+06)"),
        ({"margin": 10**400}, "bad margin"),
        ({"weight": 0}, "bad weight"),
        ({"weight": 1e39}, "bad weight"),
        ({"sort": [float("inf"), 1]}, "NaN or Infinity"),
        ({"src": ["q", "r"]}, "src and tgt do not fit"),
        ({"response": ["a", "b"], "sort": [0, 0], "margin": "x"}, "bad margin"),
    ],
)
def test_bad_preferences(tmp_path, changed, message):
    assert message in report_of(write(tmp_path / "a.jsonl", GOOD, GOOD | changed))


def test_all_problems_of_a_record_come_together(tmp_path):
    bad = {"src": 1, "response": ["a"], "sort": [2, 2], "margin": -1}
    report = report_of(write(tmp_path / "a.jsonl", GOOD, bad))
    for reason in ("wrong type", "not two answers", "equal sorts", "bad margin"):
        assert reason in report


def test_bad_preferences_can_be_dropped_and_counted(tmp_path):
    path = write(tmp_path / "a.jsonl", GOOD, GOOD | {"sort": [1, 1]})
    assert len(read_records(path, form=PREFERENCES, skip_bad=True)) == 1


def test_the_form_is_told_from_the_fields_of_the_first_record_that_has_any(tmp_path):
    assert find_form(write(tmp_path / "a", GOOD, STEPS))[0] == PREFERENCES
    form, place = find_form(write(tmp_path / "b", {"src": "q"}, [], STEPS, GOOD))
    assert (form, place) == (LABELLED, f"{tmp_path / 'b'}:3")
    assert find_form(write(tmp_path / "c", {"src": "q"})) is None
    assert find_form(write(tmp_path / "d", STEPS | {"sort": 3}, GOOD))[0] == LABELLED  # a key of another meaning
    assert find_form(write(tmp_path / "e", {"src": "q", "response": ["a", "b"]}))[0] == PREFERENCES


@pytest.mark.parametrize("form, first, other", [(LABELLED, STEPS, GOOD), (PREFERENCES, GOOD, STEPS)])
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_file_that_mixes_both_forms_is_refused_with_both_names(tmp_path, form, first, other, skip_bad):
    """Whether bad records are dropped or not: half of the data would go."""
    report = report_of(write(tmp_path / "a.jsonl", first, first, other), form=form, skip_bad=skip_bad)
    for text in ("1 of 3 records", "a.jsonl:3", LABELLED, PREFERENCES, "src, tgt, response (two", "responses (list"):
        assert text in report
    assert "skip_bad_records" not in report


@pytest.mark.parametrize("form, first", [(LABELLED, STEPS), (PREFERENCES, GOOD)])
def test_a_record_of_both_forms_is_refused_with_both_names(tmp_path, form, first):
    """Wherever it stands, and also where bad records are dropped: half of it would be ignored."""
    with pytest.raises(BadRecords, match="record of both forms .* labelled record .* preference record"):
        find_form(write(tmp_path / "a.jsonl", STEPS | GOOD))
    report = report_of(write(tmp_path / "b.jsonl", first, STEPS | GOOD), form=form, skip_bad=True)
    assert "b.jsonl:2" in report and "record of both forms" in report
