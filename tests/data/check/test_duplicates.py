"""Records that repeat or contradict an earlier one."""

from __future__ import annotations

from llm.data.check.duplicates import Duplicates
from tests.data.check.records import kinds, measured, preference, record


def test_the_same_solution_with_the_same_labels_is_a_duplicate_and_with_others_a_contradiction():
    duplicates, said = measured(
        Duplicates(),
        record(1.0, 0.0, number=1),
        record(1.0, 0.0, number=2),
        record(1.0, 1.0, number=3),
        record(1.0, 0.0, question="Another?"),
        record(1.0, 0.0, steps=("Step 1", "Step 3")),
        record(1.0, None, 0.0),
    )
    assert said == ["", "duplicate", "contradiction", "", "", ""]
    assert duplicates.facts() == {"duplicates": 1, "contradictions": 1}
    assert list(duplicates.contradicted.values()) == [0]
    repeated, contradicted = duplicates.findings()
    assert repeated.examples == ("data.jsonl:2 repeats data.jsonl:1",)
    assert contradicted.examples == ("data.jsonl:3 and data.jsonl:1",)


def test_after_a_contradiction_every_record_with_the_text_is_one():
    _, said = measured(Duplicates(), record(1.0), record(0.0), record(1.0))
    assert said == ["", "contradiction", "contradiction"]


def test_texts_that_only_meet_differently_are_not_the_same():
    duplicates, _ = measured(Duplicates(), record(1.0, 0.0, steps=("a b", "c")), record(1.0, 0.0, steps=("a", "b c")))
    assert kinds(duplicates) == []


def test_a_record_without_labels_contradicts_nothing():
    assert measured(Duplicates(), record(None), record(1.0), record(None))[1] == ["", "", ""]


def test_preferences_are_the_same_in_either_order_and_contradict_in_the_other_sense():
    _, said = measured(
        Duplicates(), preference("a", "b"), preference("a", "b"), preference("b", "a"), preference("a", "c")
    )
    assert said == ["", "duplicate", "contradiction", ""]
