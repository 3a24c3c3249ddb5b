"""Rows on disk become validated records."""

from __future__ import annotations

import codecs
import gzip
import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.core.records.records import BadRecords, ReadCounts, iter_records, read_records
from llm.core.records.reward_records import Record
from tests.core.records.files import GOOD, SAMPLE, check_records, lines, problems, row, write

TEXT = st.text(max_size=12)
SOME_TEXT = TEXT.filter(str.strip)
LABEL = st.sampled_from(["+", "-", True, False, 1, 0, 1.0, 0.0])
STEPS = st.lists(st.tuples(SOME_TEXT, LABEL), min_size=1, max_size=4)
DIALOGUE = st.one_of(
    TEXT.map(lambda text: ([text], [])),
    st.lists(st.tuples(SOME_TEXT, SOME_TEXT), min_size=1, max_size=3).flatmap(
        lambda pairs: SOME_TEXT.map(lambda last: ([p[0] for p in pairs] + [last], [p[1] for p in pairs]))
    ),
)


@st.composite
def rows(draw) -> dict:
    src, tgt = draw(DIALOGUE)
    steps = draw(STEPS)
    row = {"src": src, "tgt": tgt, "responses": [s for s, _ in steps], "labels": [y for _, y in steps]}
    if draw(st.booleans()):
        row["extra"] = draw(st.sampled_from([None, {"a": [1, 2.5e3]}, "]}", -12]))
    return row


def expected(row: dict) -> tuple:
    labels = tuple(1.0 if label in ("+", 1) else 0.0 for label in row["labels"])
    return tuple(row["src"]), tuple(row["tgt"]), tuple(s.strip() for s in row["responses"]), labels


def content(record: Record) -> tuple:
    return record.src, record.tgt, record.steps, record.labels


def spaced(value: object, space, ascii_only: bool) -> str:
    """JSON with `space()` between any two of its signs."""
    if isinstance(value, list):
        return "[" + ",".join(space() + spaced(v, space, ascii_only) + space() for v in value) + space() + "]"
    if isinstance(value, dict):
        pairs = ((spaced(k, space, ascii_only), spaced(v, space, ascii_only)) for k, v in value.items())
        return "{" + ",".join(f"{space()}{k}{space()}:{space()}{v}{space()}" for k, v in pairs) + "}"
    return json.dumps(value, ensure_ascii=ascii_only)


@st.composite
def files(draw) -> tuple[list[dict], bytes]:
    """Rows, and one of the many ways to write them into a file."""
    data = draw(st.lists(rows(), min_size=1, max_size=5))
    random = draw(st.randoms(use_true_random=False))
    ascii_only = draw(st.booleans())
    if draw(st.booleans()):
        text = spaced(data, lambda: random.choice(["", " ", "\n", "\r\n  ", "\t\n\n"]), ascii_only)
        text = random.choice(["", "\n ", " " * 30]) + text + random.choice(["", "\r\n", " \n\n"])
    else:
        end = draw(st.sampled_from(["\n", "\r\n"]))
        texts = [spaced(row, lambda: random.choice(["", " ", "\t"]), ascii_only) for row in data]
        text = "".join(random.choice(["", " ", end]) + t + random.choice(["", " "]) + end for t in texts)
        text = text.strip("\r\n") if draw(st.booleans()) else text
    raw = draw(st.sampled_from([b"", codecs.BOM_UTF8])) + text.encode()
    return data, gzip.compress(raw) if draw(st.booleans()) else raw


@settings(max_examples=60)
@given(files(), st.sampled_from(["a.json", "a.jsonl", "a.json.gz", "a"]))
def test_rows_read_back_equal_however_they_are_written(file, name):
    """List or lines, gzip or not, with any white space and under any name."""
    data, raw = file
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / name, raw)
        assert [content(record) for record in read_records(path)] == [expected(row) for row in data]


@pytest.mark.parametrize(
    "changed, src, tgt",
    [
        ({"src": "Why?"}, ("Why?",), ()),
        ({"src": [""]}, ("",), ()),
        ({"src": ""}, ("",), ()),
        ({"tgt": "absent"}, ("How many?",), ()),
        ({"tgt": None}, ("How many?",), ()),
        ({"tgt": ""}, ("How many?",), ()),
        ({"tgt": [""]}, ("How many?",), ()),
        ({"src": ["a", "b"], "tgt": "c"}, ("a", "b"), ("c",)),
        ({"src": [" a\n"]}, (" a\n",), ()),
    ],
)
def test_forms_of_src_and_tgt(tmp_path, changed, src, tgt):
    """Both may be a string; a single question needs no tgt; their text is left as it is."""
    (record,) = read_records(write(tmp_path / "a", lines(row(**changed))))
    assert (record.src, record.tgt) == (src, tgt)


def test_steps_are_stripped_and_not_split(tmp_path):
    """Real steps end in blanks and hold line breaks."""
    value = row(responses=["  one\n\ntwo \n", "\u3000three\t"])
    assert read_records(write(tmp_path / "a", lines(value)))[0].steps == ("one\n\ntwo", "three")


@pytest.mark.parametrize(
    "tokens, labels, expected",
    [
        (("+", "-"), ["+", "-", True, False, 1, 0, 1.0, 0.0, -0.0], [1, 0, 1, 0, 1, 0, 1, 0, 0]),
        (("-", "+"), ["+", "-", True], [0, 1, 1]),
        (("1", "0"), ["1", "0", 1, False], [1, 0, 1, 0]),
        (("0", "1"), ["1", "0"], [0, 1]),
        (("+", "-"), [0.25, "+", None, 1e-9], [0.25, 1, None, 1e-9]),
        (("0", "1"), [None, "1"], [None, 0]),
    ],
)
def test_labels(tmp_path, tokens, labels, expected):
    """The first reward token is the positive one; true, false and numbers from 0 to 1 mean what they say; null is a
    step that is not scored."""
    path = write(tmp_path / "a", lines(row(responses=["s"] * len(labels), labels=labels)))
    assert list(read_records(path, tokens)[0].labels) == expected


@pytest.mark.parametrize("tokens, label", [(("0", "1"), 1), (("0", "1"), 0.5), (("0", "1"), True), (("+", "-"), "1")])
def test_labels_that_could_mean_either_are_refused(tmp_path, tokens, label):
    """With "0" as the positive token, a bare 1 may mean either; so may "1" where "+" is expected."""
    path = write(tmp_path / "a", lines(row(responses=["s"], labels=[label])))
    assert f"{json.dumps(label)} - unknown label" in problems(path, reward_tokens=tokens)


@pytest.mark.parametrize("tokens", [("+", "+"), ("+",), ("+", "-", "?"), "+-"])
def test_reward_tokens_are_two_different_ones(tmp_path, tokens):
    with pytest.raises(ValueError, match="two different tokens"):
        read_records(write(tmp_path / "a", lines(GOOD)), tokens)


def test_counts(tmp_path):
    """read == kept + dropped; a record with two problems is dropped once; steps and "+" are of those kept."""
    twice_bad = row(responses=["", "x"], labels=["?", "+"])
    data = lines(GOOD, twice_bad, "{", GOOD, row(labels=["+"]), row(labels=[1, 1]))
    path = write(tmp_path / "a.jsonl", data)
    counts = ReadCounts()
    records = read_records(path, counts=counts, skip_bad=True)
    assert len(records) == counts.kept == 3
    dropped = {"blank step": 1, "unreadable JSON": 1, "labels and responses differ in length": 1}
    assert counts == ReadCounts(read=6, kept=3, dropped=Counter(dropped), steps=6, positive=4.0)
    assert check_records(path, skip_bad=True) == counts


@pytest.mark.skipif(not SAMPLE.exists(), reason=f"no {SAMPLE}")
def test_published_sample():
    """The published form: an empty src, the question inside the first step."""
    counts = ReadCounts()
    records = read_records(SAMPLE, counts=counts)
    assert counts == ReadCounts(read=8, kept=8, steps=48, positive=8.0)
    assert all(record.src == ("",) and record.tgt == () for record in records)


def test_reading_is_lazy(tmp_path):
    """The first record is there before the last is read, and what is wrong with the paths before that."""
    records = iter_records(write(tmp_path / "a.jsonl", lines(GOOD, "{")))
    assert content(next(records)) == expected(GOOD)
    with pytest.raises(BadRecords):
        next(records)
    with pytest.raises(ValueError, match="does not exist"):
        iter_records("absent.json")
