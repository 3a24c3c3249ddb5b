"""Labels are counted by kind and by position; what gives nothing to learn from is found."""

from __future__ import annotations

from llm.data.check.labels import ENOUGH, Labels
from llm.data.check.pairs import Pairs
from llm.data.check.steps import Steps
from tests.data.check.records import kinds, measured, preference, record


def test_labels_are_counted_by_kind_and_by_position():
    labels, _ = measured(Labels(), record(1.0, 0.0, None), record(1.0, 0.25), record(None, 0.0, 1.0))
    facts = labels.facts()
    assert [facts[kind] for kind in ("+", "-", "soft", "null")] == [3, 2, 1, 2]
    assert facts["share of +"] == round(3.25 / 6, 6)
    shares = [(position["labels"], position["share of +"]) for position in facts["by position"]]
    assert shares == [(2, 1.0), (3, round(0.25 / 3, 6)), (1, 1.0)]
    assert facts["soft labels by tenths"] == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert list(labels.lines())[:2] == [
        "labels: 3 +, 2 -, 1 soft, 2 null; 54.2% of them +",
        "  share of + by position of the step: 1: 100.0%, 2: 8.3%, 3: 100.0%",
    ]
    assert kinds(labels) == []


def test_positions_that_are_not_shown_are_counted():
    labels, _ = measured(Labels(), record(*[1.0] * 13))
    assert list(labels.lines())[1].endswith("10: 100.0%; 3 later positions not shown")


def test_right_steps_after_a_wrong_one_are_counted():
    labels, _ = measured(Labels(), record(0.0, 1.0), record(0.0, 0.0), record(1.0, 0.0), record(1.0, 0.5, 0.9))
    assert (labels.errors, labels.recovered) == (3, 2)
    assert (labels.several, labels.constant) == (4, 1)


def test_a_record_whose_labels_are_all_null_is_found():
    labels, said = measured(Labels(), record(1.0, 0.0), record(None, None, number=7))
    (finding,) = labels.findings()
    assert (finding.kind, finding.count, finding.examples) == ("no label", 1, ("data.jsonl:7",))
    assert said == ["", "without a label to learn from"]


def test_labels_that_are_all_the_same_are_found():
    for label, sign in ((1.0, "+"), (0.0, "-")):
        (finding,) = measured(Labels(), record(label, label), record(label, None))[0].findings()
        assert finding.kind == "one label" and f"every label is {sign}" in finding.text
    assert kinds(measured(Labels(), record(0.5, 0.5))[0]) == []


def test_labels_of_answers_that_were_copied_to_their_steps_are_found():
    copied = [record(*[float(number % 2)] * 3) for number in range(ENOUGH)]
    assert kinds(measured(Labels(), *copied)[0]) == ["labels do not change"]
    assert kinds(measured(Labels(), *copied[1:])[0]) == []
    assert kinds(measured(Labels(), *copied, record(1.0, 0.0))[0]) == []


def test_a_placeholder_inside_a_step_is_found():
    steps, _ = measured(Steps("ки"), record(1.0, 0.0), record(1.0, 1.0, steps=("a", "b ки\nc"), number=4))
    (finding,) = steps.findings()
    assert (finding.kind, finding.examples) == ("placeholder in a step", ("data.jsonl:4: responses[1]",))
    assert steps.facts()["per record"]["p50"] == 2


def test_it_is_said_how_often_the_chosen_answer_is_longer():
    pairs, _ = measured(Pairs(), preference("aaa", "b"), preference("a", "bb"), preference("aa", "b"))
    assert "the chosen answer is the longer one in 66.7% of 3 pairs" in "\n".join(pairs.lines())
