"""What every benchmark says: a table for people, then one JSON object as the last line; errors in a paragraph."""

import json

import pytest

from llm.benchmark import run_benchmark
from llm.benchmark.arguments import whole
from llm.benchmark.report import SHARE, TEXT, WHOLE, show, table

COLUMNS = {"name": ("packing", TEXT), "tokens": ("tokens", WHOLE), "fill": ("fill", SHARE)}
ROWS = [{"name": "padded", "tokens": 1234567, "fill": None}, {"name": "sequential", "tokens": 9, "fill": 0.1234}]


def test_a_table_has_texts_at_the_left_numbers_at_the_right_and_a_dash_for_what_is_unknown():
    assert table(COLUMNS, ROWS).splitlines() == [
        "packing        tokens   fill",
        "padded      1,234,567      -",
        "sequential          9  12.3%",
    ]


def test_the_outcome_is_the_last_line_and_nothing_of_it_stands_elsewhere(capsys):
    show("heading", "table", outcome={"benchmark": "x", "ratio": 2.5})
    *paragraphs, last = capsys.readouterr().out.splitlines()
    assert paragraphs == ["heading", "", "table", ""]
    assert json.loads(last) == {"benchmark": "x", "ratio": 2.5}


def test_without_a_kind_the_kinds_are_listed_and_an_unknown_one_is_named(capsys):
    for argv, code in (([], 2), (["--help"], 0), (["pack"], 2)):
        with pytest.raises(SystemExit) as ended:
            run_benchmark.main(argv)
        assert ended.value.code == code
        out = "".join(capsys.readouterr())
        assert all(f"  {kind} " in out for kind in run_benchmark.KINDS)
        assert ("unknown benchmark 'pack'" in out) == (argv == ["pack"])


@pytest.mark.parametrize("kind", run_benchmark.KINDS)
def test_an_abbreviated_option_is_refused(kind, capsys):
    """`--max_seq` for `--max_seq_len` would be a setting that nobody wrote."""
    with pytest.raises(SystemExit) as ended:
        run_benchmark.main([kind, "data.jsonl", "--max_seq", "64", "--head", "2"])
    assert ended.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


def test_data_that_cannot_be_found_is_an_error_in_a_paragraph(capsys):
    with pytest.raises(SystemExit) as ended:
        run_benchmark.main(["packing", "no/such/file.jsonl"])
    assert ended.value.code == 2
    assert "error: 'no/such/file.jsonl' does not exist" in capsys.readouterr().err


def test_numbers_of_things_are_1_or_more():
    assert whole("3") == 3
    with pytest.raises(Exception, match="0 is not at least 1"):
        whole("0")
