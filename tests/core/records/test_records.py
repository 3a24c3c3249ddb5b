"""Rows on disk become validated records, or a report of everything that is wrong with them."""

from __future__ import annotations

import codecs
import gzip
import json
import tempfile
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.core.paths import REPOSITORY
from llm.core.records.records import BadRecords, ReadCounts, Record, iter_records, read_records

GOOD = {
    "src": ["How many?"],
    "tgt": [],
    "responses": ["Step 1: two.", "Step 2: three."],
    "labels": ["+", "-"],
}
SAMPLE = REPOSITORY.parent / "shared" / "samples" / "paddlenlp" / "prm_dev.json"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def lines(*values: object) -> str:
    return "".join((v if isinstance(v, str) else json.dumps(v)) + "\n" for v in values)


def check_records(paths, **more) -> ReadCounts:
    counts = ReadCounts()
    for _ in iter_records(paths, counts=counts, **more):
        pass
    return counts


def problems(paths, **more) -> str:
    with pytest.raises(BadRecords) as caught:
        check_records(paths, **more)
    return str(caught.value)


# ---- what is read


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


@settings(deadline=None, max_examples=150)
@given(files(), st.sampled_from(["a.json", "a.jsonl", "a.json.gz", "a"]))
def test_rows_read_back_equal_however_they_are_written(file, name):
    """List or lines, gzip or not, with any white space and under any name."""
    data, raw = file
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / name, raw)
        assert [content(record) for record in read_records(path)] == [expected(row) for row in data]


def row(**changed) -> dict:
    return {key: value for key, value in {**GOOD, **changed}.items() if value != "absent"}


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


# ---- what is refused


LONE = '{"src": "q", "responses": ["a \\ud83d b"], "labels": ["+"]}'


@pytest.mark.parametrize(
    "value, message",
    [
        ('{"src": NaN}', "NaN - NaN or Infinity (JSON has no such value); write a number or null"),
        ("17", "17 - not an object (it is a number); write {...} with src, tgt, responses"),
        ("[]", "[] - not an object (it is a list)"),
        ("null", "null - not an object (it is null)"),
        (
            {"src": "q", "label": []},
            '["src", "label"] - missing key (no responses, labels); a record has src',
        ),
        (row(src="absent", tgt=[]), "missing key (no src)"),
        (row(src=None), "null - wrong type (src is null); write src as a list of strings"),
        (row(src=["q", 3]), "3 - wrong type (src[1] is a number)"),
        (row(tgt={"a": 1}), '{"a": 1} - wrong type (tgt is an object)'),
        (row(responses="one step"), '"one step" - wrong type (responses is a string)'),
        (row(responses=["a", None]), "null - wrong type (responses[1] is null)"),
        (row(labels="+"), '"+" - wrong type (labels is a string); write a list, one label per step'),
        (row(responses=[]), "[] - no responses (the list is empty); give at least one step and its label"),
        (row(labels=[]), "[] - no labels (the list is empty); give each step one label"),
        (
            row(labels=["+"]),
            '["+"] - labels and responses differ in length (responses: 2, labels: 1); give each step one',
        ),
        (
            row(labels=["+", "good"]),
            '"good" - unknown label (labels[1]); write "+", "-", a number from 0 to 1, true, false or null, or set',
        ),
        (row(labels=[2, "++"]), "2 - label out of range (labels[0] and 1 more); write a number from 0 (wrong) to 1"),
        (row(labels=["+", -0.001]), "-0.001 - label out of range (labels[1])"),
        ('{"src": "q", "responses": ["a"], "labels": [1e999]}', "Infinity - label out of range (labels[0])"),
        (row(weight=0), "0 - bad weight (weight is not a number from 1e-06 to 1e+06); write such a number, or"),
        (row(weight="1"), '"1" - bad weight'),
        (
            '{"src": "q", "responses": ["a"], "labels": ["+"], "labels": ["-"]}',
            '"labels" - key given twice (one of its values would be lost); keep one of them',
        ),
        (row(weight=True), "true - bad weight"),
        (row(labels=[["+"], {}]), '["+"] - unknown label (labels[0] and 1 more)'),
        (row(responses=["a", " \n"]), '" \\n" - blank step (responses[1]); drop it together with its label'),
        (row(src=[]), "[] - src and tgt do not fit (turns of src: 0, of tgt: 0); make src one turn longer"),
        (row(src=["a", "b"]), '["a", "b"] - src and tgt do not fit (turns of src: 2, of tgt: 0)'),
        (row(tgt=["a"]), "src and tgt do not fit (turns of src: 1, of tgt: 1)"),
        (row(src=["a", " "], tgt=["b"]), "blank turn (a dialogue needs every turn)"),
        (row(src=["a", "b"], tgt=[""]), "blank turn"),
        (LONE, '"q a \\ud83d b" - lone surrogate (half of a character); write the whole character'),
    ],
)
def test_bad_rows(tmp_path, monkeypatch, value, message):
    """A bad row costs itself only, and is told with place, value, reason, remedy."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl", lines(GOOD, value, GOOD))
    report = problems("a.jsonl")
    assert report.encode().decode().startswith("1 of 3 records cannot be used:\n  a.jsonl:2: ")
    assert message in report
    assert report.endswith("set `skip_bad_records: true` to drop and count these records.")
    assert check_records("a.jsonl", skip_bad=True).kept == 2


def test_the_first_twenty_problems_and_the_totals_of_all_files(tmp_path, monkeypatch):
    """Every problem of every record and file is counted, and twenty lines are shown."""
    monkeypatch.chdir(tmp_path)
    twice_bad = row(responses=["", "x"], labels=["?", "+"])
    write(tmp_path / "a.jsonl", lines(*[GOOD, twice_bad] * 15))
    write(tmp_path / "b.json", json.dumps([row(labels=["+"])] * 7 + [GOOD]))
    write(tmp_path / "c.json", "[]")
    report = problems(["a.jsonl", "b.json", "c.json"]).splitlines()
    assert report[0] == "22 of 38 records cannot be used, and 1 file cannot be read:"
    assert report[1].startswith("  c.json: no record in the file")
    assert [line.split(": ")[0].strip() for line in report[2:5]] == ["a.jsonl:2", "a.jsonl:2", "a.jsonl:4"]
    assert report[21] == "  and 18 more problems"
    totals = "unknown label 15, labels and responses differ in length 7, no record in the file 1"
    assert report[22] == f"By reason: blank step 15, {totals}"
    assert report[23] == "Repair them, or set `skip_bad_records: true` to drop and count these records."
    assert len(report) == 24


def test_long_values_are_shortened(tmp_path):
    """A line of the report stays a line."""
    path = write(tmp_path / "a", lines(GOOD, row(src=["q" * 1000, "r" * 1000]), row(labels="\x1b[31m\u2028" * 9)))
    report = problems(path)
    assert max(map(len, report.splitlines())) < 300 + len(str(tmp_path))
    assert len(report.splitlines()) == 5 and "\x1b" not in report


def test_a_broken_file_is_never_skipped(tmp_path, monkeypatch):
    """How many records it costs cannot be counted; the other files are read nevertheless."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.gz", gzip.compress(lines(GOOD).encode())[:-9])
    write(tmp_path / "b", lines(GOOD, "{", GOOD))
    counts = ReadCounts()
    with pytest.raises(BadRecords) as caught:
        read_records("a.gz,b", counts=counts, skip_bad=True)
    assert str(caught.value).startswith("1 file cannot be read:\n  a.gz: file cannot be read (after ")
    assert str(caught.value).endswith("\nBy reason: file cannot be read 1")
    assert (counts.read, counts.kept) == (3, 2)
    assert problems("a.gz,b").startswith("1 of 3 records cannot be used, and 1 file cannot be read:\n  a.gz: ")


def test_many_bad_records_need_no_more_memory_than_twenty(tmp_path):
    """The report keeps the first and counts the others."""
    path = write(tmp_path / "a", lines(row(labels=["+", "?"], src="x" * 500)) * 10_000)
    tracemalloc.start()
    try:
        assert "unknown label 10000" in problems(path)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_set_without_usable_record_is_an_error(tmp_path, skip_bad):
    """Also with skip_bad: nothing would be trained on."""
    report = problems(write(tmp_path / "a", lines(row(labels=[]), row(src=3), row(src=4))), skip_bad=skip_bad)
    assert report.startswith("3 of 3 records cannot be used:")
    assert report.endswith("By reason: wrong type 2, no labels 1\nNo usable record is left.")
