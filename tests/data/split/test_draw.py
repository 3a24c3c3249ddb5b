"""What is drawn from questions: how many records, of which labels, and by chance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llm.core.records.reward_records import Preference, Record
from llm.data.questions import question_of
from llm.data.split.draw import Questions, draw

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=60)


def record(question: str, *labels: float | None) -> Record:
    return Record((question,), (), ("a step",) * len(labels), labels, "a place")


def questions_of(*records: Record) -> Questions:
    questions = Questions()
    for each in records:
        questions.add(each)
    return questions


@given(SIZES, st.data())
def test_every_stretch_of_the_order_gives_its_due_within_the_largest_question(sizes, data):
    total = sum(sizes)
    wanted = data.draw(st.integers(0, total))
    drawn = set(draw(range(len(sizes)), sizes, wanted))
    assert sum(sizes[number] for number in drawn) <= wanted
    start = data.draw(st.integers(0, len(sizes) - 1))
    stop = data.draw(st.integers(start + 1, len(sizes)))
    taken = sum(sizes[number] for number in range(start, stop) if number in drawn)
    due = wanted / total * sum(sizes[start:stop])
    # What does not fit below `wanted` is missing in the last stretches, for which one more question is allowed.
    assert due - 2 * max(sizes) <= taken <= due + max(sizes)


@given(st.integers(1, 200), st.data())
def test_of_questions_with_one_record_each_exactly_as_many_are_drawn_and_of_every_stratum_its_share(count, data):
    wanted = data.draw(st.integers(0, count))
    drawn = set(draw(range(count), [1] * count, wanted))
    assert len(drawn) == wanted
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count))
    assert abs(sum(start <= number < stop for number in drawn) - wanted / count * (stop - start)) < 1


def test_questions_are_ordered_by_their_share_of_positive_labels_and_then_by_the_seed():
    records = [record(f"q{number}", *labels) for number, labels in enumerate([(1, 1), (0, 1), (0, 0), (None,)] * 20)]
    questions = questions_of(*records)
    orders = [questions.in_order(seed) for seed in (0, 1)]
    for order in orders:
        assert [number % 4 for number in order] == [3] * 20 + [2] * 20 + [1] * 20 + [0] * 20
    assert orders[0] != orders[1] and orders[0] == questions.in_order(0)


def test_the_order_does_not_depend_on_that_of_the_files():
    records = [record(f"q{number}", number % 2) for number in range(40)]
    there, back = questions_of(*records), questions_of(*reversed(records))
    assert [39 - number for number in there.in_order(5)] == back.in_order(5)


def test_a_question_is_known_by_its_meaning_and_not_by_its_spelling():
    same = ["How many?", " how  MANY?\n", "How\u00a0many\uff1f"]
    assert len(questions_of(*(record(text, 1) for text in same)).numbers) == 1
    assert len(questions_of(record("1 + 1?", 1), record("1 - 1?", 1)).numbers) == 2


def test_the_question_of_a_record_with_a_blank_src_is_what_comes_before_its_first_step():
    def inside(first: str) -> str:
        return question_of(Record(("",), (), (first, "Step 2: b"), (1.0, 1.0), "a place"))

    assert inside("Q? Step 1: a") == inside("Q?  step 1: another") == "q?"
    assert inside("Q? A.") == "q? a." and inside("Step 1: a") == "step 1: a"
    assert question_of(Preference(("",), (), "Q? Step 1: a", "Q? Step 1: b", None, "a place")) == "q?"


def test_all_turns_of_a_dialogue_are_its_question():
    turns = [("a", "c"), ("b",)], [("a", "d"), ("b",)], [("a", "c"), ("e",)]
    assert len({question_of(Record(src, tgt, ("s",), (1.0,), "a place")) for src, tgt in turns}) == 3
