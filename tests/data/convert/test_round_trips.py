"""Records -> another format -> records: what the format can hold comes back, and what it cannot is reported."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llm.core.records.fields import label_values
from llm.core.records.reward_records import parse_record
from llm.data.convert.form import Note, Options, Unfit
from llm.data.convert.placeholders import INSEPARABLE, PLACEHOLDER
from llm.data.convert.registry import FORMATS, WRITABLE
from llm.data.convert.work import Job, convert_files
from llm.data.output import new_file

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
SIGNED = st.lists(st.sampled_from(["+", "-", "\n", " ", "кi", "Step 2:", "<<1+1=2>>"]), min_size=1).map("".join)
STEP = (TEXT | SIGNED).map(str.strip).filter(bool).filter(lambda text: PLACEHOLDER not in text)
HARD = st.sampled_from(["+", "-", True, False, 1, 0])
SOFT = HARD | st.floats(0, 1)


def labelled_records(labels):
    pairs = st.lists(st.tuples(STEP, labels), min_size=1, max_size=5)
    return st.builds(
        lambda question, solution, numbered: {
            "src": [question],
            "tgt": [],
            "responses": [f"Step {n}: {step}" if numbered else step for n, (step, _) in enumerate(solution, 1)],
            "labels": [label for _, label in solution],
        },
        STEP | st.just(""),
        pairs,
        st.booleans(),
    )


def parsed(record: dict):
    found = parse_record(record, "", label_values(("+", "-")))
    assert not isinstance(found, list), found
    return found


def there_and_back(record: dict, name: str) -> tuple[dict, list[str]]:
    rows, notes = [], []
    for made in FORMATS[name].write(record, Options()):
        notes.append(made.what) if isinstance(made, Note) else rows.append(made)
    (row,) = rows
    assert [form.name for form in FORMATS.values() if form.fits(row)] == [name]
    (back,) = [made for made in FORMATS[name].convert(row, Options()) if not isinstance(made, Note)]
    return back, notes


@given(labelled_records(HARD))
def test_any_record_with_hard_labels_comes_back_from_trl(record):
    back, notes = there_and_back(record, "trl")
    assert parsed(back) == parsed(record) and not notes


@given(labelled_records(SOFT), st.sampled_from(["openrlhf", "math-shepherd"]))
def test_any_record_comes_back_from_one_text(record, name):
    """Where the first step begins with "Step 1:", question and steps are apart again; else it is said that they are
    not, and the prompt and the labels are the same all the same."""
    assume(name == "openrlhf" or not any(0 < label < 1 for label in record["labels"] if isinstance(label, float)))
    back, notes = there_and_back(record, name)
    one, other = parsed(record), parsed(back)
    assert other.labels == one.labels
    if notes:
        assert notes == [INSEPARABLE]
        assert " ".join([*other.src, *other.steps]).split() == " ".join([*one.src, *one.steps]).split()
    else:
        assert other == one
    if one.steps[0].startswith("Step 1:") and "Step 1:" not in one.src[0]:
        assert not notes


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize(
    "changes, told",
    [
        ({"src": ["a", "b"], "tgt": ["c"]}, "several turns"),
        ({"labels": [None, "+"]}, "step without a label"),
        ({"labels": [0.5, "+"]}, "soft label"),
        ({"responses": [f"Step 1: {PLACEHOLDER}", "b"]}, "step holds the placeholder"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(name, changes, told):
    record = {"src": ["q"], "tgt": [], "responses": ["Step 1: a", "b"], "labels": ["+", "-"]} | changes
    if (told == "soft label" and name == "openrlhf") or (told.endswith("placeholder") and name == "trl"):
        there_and_back(record, name)
    else:
        with pytest.raises(Unfit, match=told):
            there_and_back(record, name)


@pytest.mark.parametrize("name", WRITABLE)
def test_what_is_lost_is_counted(name):
    record = {"src": "q", "responses": ["Step 1: a", "b", "c"], "labels": ["+", None, None], "weight": 2}
    back, notes = there_and_back(record, name)
    assert notes == ["steps after the last label left out", "weights left out"]
    assert parsed(back).steps == ("Step 1: a",)
    with pytest.raises(Unfit, match="no steps"):
        there_and_back({"src": ["q"], "response": ["a", "b"], "sort": [1, 0]}, name)


@settings(max_examples=20)
@given(st.lists(labelled_records(HARD), min_size=1, max_size=4), st.sampled_from(WRITABLE))
def test_files_come_back_too(records, name):
    """Through the reader, the writer and the checks of the verb."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.jsonl" for number in range(3)]
        with new_file(paths[0]) as file:
            for record in records:
                file.write(record)
        with new_file(paths[1]) as file:
            out = convert_files([paths[0]], Job(FORMATS["records"], Options(), {}, FORMATS[name]), file)
        with new_file(paths[2]) as file:
            back = convert_files([paths[1]], Job(FORMATS[name], Options(), {}), file)
    assert out.rows == out.written == back.rows == back.written == len(records)
    assert (out.labels, out.positive) == (back.labels, back.positive)
