"""What is wrong with rows is reported with file and line, all of it at once."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest

from llm.core.records.records import BadRecords, ReadCounts, read_records
from tests.core.records.files import GOOD, check_records, lines, problems, row, write

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
    """Only the bad row is lost, and it is reported with place, value, reason, remedy."""
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
    path = write(tmp_path / "a", lines(row(labels=["+", "?"], src="x" * 500)) * 2000)
    tracemalloc.start()
    try:
        assert "unknown label 2000" in problems(path)
        assert tracemalloc.get_traced_memory()[1] < 2e5
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_set_without_usable_record_is_an_error(tmp_path, skip_bad):
    """Also with skip_bad: nothing would be trained on."""
    report = problems(write(tmp_path / "a", lines(row(labels=[]), row(src=3), row(src=4))), skip_bad=skip_bad)
    assert report.startswith("3 of 3 records cannot be used:")
    assert report.endswith("By reason: wrong type 2, no labels 1\nNo usable record is left.")


def test_a_key_given_twice_is_found_among_hundreds_of_thousands(tmp_path):
    """Looking through all the keys before it, for each of them, would take hours."""
    keys = ", ".join(f'"{number}": 1' for number in (*range(400_000), 399_999))
    path = write(tmp_path / "a", lines(GOOD, json.dumps(GOOD)[:-1] + f", {keys}}}"))
    assert '"399999" - key given twice' in problems(path)
