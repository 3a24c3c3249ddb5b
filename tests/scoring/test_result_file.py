"""A file of results that a broken run continues is known again by what it was made of, or refused."""

from __future__ import annotations

import json

import pytest

from llm.scoring.result_file import SUFFIX, rejects_of, rows_done

MADE_OF = {"model": "m", "rows": 3}


def test_rows_are_counted_and_a_line_that_was_cut_short_is_removed(tmp_path):
    output = tmp_path / "new/scores.jsonl"
    assert rows_done(output, MADE_OF) == 0
    output.write_bytes(b'{"a": 1}\n{"a": 2}\n{"a"')
    assert rows_done(output, MADE_OF) == 2 and output.read_bytes() == b'{"a": 1}\n{"a": 2}\n'


def test_a_file_without_a_row_is_begun_again(tmp_path):
    output = tmp_path / "scores.jsonl"
    rows_done(output, MADE_OF)
    output.touch()
    assert rows_done(output, MADE_OF | {"rows": 4}) == 0
    rejects_of(output).write_text('{"a": 1}\n')
    assert rows_done(output, MADE_OF | {"rows": 4}) == 1
    rejects_of(output).unlink()
    output.write_text('{"a": 1}\n')
    assert rows_done(output, MADE_OF | {"rows": 4}) == 1


@pytest.mark.parametrize("name", ["scores.jsonl.gz", "scores.jsonl.zst", ""])
def test_what_cannot_be_a_file_of_plain_lines_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="OUTPUT: "):
        rows_done(tmp_path / name, MADE_OF)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not JSON"),
        (b"[1]", "is a list"),
        (b'{"model"', "is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b'{"model": "m", "model": "m"}', "given twice"),
        (b"{}", "another run"),
        (json.dumps(MADE_OF | {"rows": 4}).encode(), "rows: 4 then, 3 now"),
        (None, "there is no scores.jsonl.run.json"),
    ],
)
def test_a_file_of_something_else_is_not_continued(tmp_path, content, told):
    output = tmp_path / "scores.jsonl"
    rows_done(output, MADE_OF)
    output.write_text('{"a": 1}\n')
    record = tmp_path / f"scores.jsonl{SUFFIX}"
    if content is None:
        record.unlink()
    else:
        record.write_bytes(content)
    with pytest.raises(ValueError, match="OUTPUT: ") as error:
        rows_done(output, MADE_OF)
    assert told in str(error.value) and str(output) in str(error.value)
    assert output.read_text() == '{"a": 1}\n'
