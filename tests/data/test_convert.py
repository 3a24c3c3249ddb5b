"""Every format's rows become the records that they mean; what cannot be converted is told, and never half-written."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from llm.core.records.records import read_records
from llm.data.convert.convert import main
from llm.data.convert.formats import FORMATS, Unfit

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY.parent / "shared" / "samples"

PRM800K = {"instruction": "1 + 1 + 1?", "responses": ["1 + 1 = 2"], "next_response": "2 + 1 = 3", "rating": 1}
PROCESSBENCH = {"problem": "1 + 1 + 1?", "steps": ["1 + 1 = 2", "2 + 1 = 4", "It is 4"], "label": 1}
PRMBENCH = {"modified_question": "1 + 1?", "modified_process": ["1. a", "2. b", "3. c"], "error_steps": [1, 3]}
TRL = {"prompt": "Simple is better", "completions": [" than", " complex."], "labels": [True, False]}
ROWS = {"prm800k-candidates": PRM800K, "processbench": PROCESSBENCH, "prmbench": PRMBENCH, "trl": TRL}


def labels(name: str, **changes) -> str:
    return "".join(FORMATS[name].convert(ROWS[name] | changes)["labels"])


def write(path: Path, *rows) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def refusal(capsys, *argv) -> str:
    with pytest.raises(SystemExit) as end:
        main([*map(str, argv)])
    assert end.value.code == 2
    return capsys.readouterr().err


# ---- what each format means


def test_a_prm800k_candidate_is_judged_after_earlier_steps_that_are_right():
    convert = FORMATS["prm800k-candidates"].convert
    assert convert(PRM800K) == {
        "src": ["1 + 1 + 1?"],
        "tgt": [],
        "responses": ["1 + 1 = 2", "2 + 1 = 3"],
        "labels": ["+", "+"],
    }
    assert [labels("prm800k-candidates", rating=rating) for rating in (1, 0, -1)] == ["++", "++", "+-"]
    assert labels("prm800k-candidates", rating=-1, responses=[]) == "-"
    assert convert(PRM800K | {"rating": None}) == "no rating"
    with pytest.raises(Unfit):
        convert(PRM800K | {"rating": 2})


def test_prmbench_drops_blank_steps_moves_the_numbers_and_counts_them(tmp_path, capsys):
    """error_steps count the blank ones."""
    steps = ["1. a", " ", "2. b", "", "3. c"]
    source = write(tmp_path / "rows.jsonl", PRMBENCH | {"modified_process": steps, "error_steps": [2, 3]}, PRMBENCH)
    main(["prmbench", str(source), str(tmp_path / "out.jsonl")])
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert first["responses"] == ["1. a", "2. b", "3. c"] and first["labels"] == ["+", "-", "+"]
    assert second["labels"] == ["-", "+", "-"]
    assert "\n  2 blank steps dropped\n" in capsys.readouterr().out


def test_processbench_steps_are_wrong_from_the_first_wrong_one_on():
    assert FORMATS["processbench"].convert(PROCESSBENCH) == {
        "src": ["1 + 1 + 1?"],
        "tgt": [],
        "responses": PROCESSBENCH["steps"],
        "labels": ["+", "-", "-"],
    }
    assert [labels("processbench", label=label) for label in (-1, 0, 2)] == ["+++", "---", "++-"]
    for label in (3, -2):
        with pytest.raises(Unfit):
            labels("processbench", label=label)


def test_prmbench_steps_are_wrong_where_error_steps_says_counted_from_1():
    assert FORMATS["prmbench"].convert(PRMBENCH) == {
        "src": ["1 + 1?"],
        "tgt": [],
        "responses": ["1. a", "2. b", "3. c"],
        "labels": ["-", "+", "-"],
    }
    assert labels("prmbench", error_steps=[]) == "+++"
    assert FORMATS["prmbench"].convert(PRMBENCH | {"error_steps": [2, 4]}) == "error_steps beyond the steps"
    for error in (0, -1, True, "1", None):
        with pytest.raises(Unfit):
            labels("prmbench", error_steps=[error])


def test_trl_labels_are_true_or_false():
    assert FORMATS["trl"].convert(TRL) == {
        "src": ["Simple is better"],
        "tgt": [],
        "responses": [" than", " complex."],
        "labels": ["+", "-"],
    }
    for label in (1, "true", None):
        with pytest.raises(Unfit):
            labels("trl", labels=[True, label])


# ---- the command


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["lines", "list", "gzip", "parquet"])
def test_what_is_written_is_read_as_records(tmp_path, capsys, name, kind):
    """From each kind of file; other columns are passed over."""
    rows = [ROWS[name] | {"id": f"{name}-{number}", "other": 1.5} for number in range(3)]
    source = tmp_path / "source"
    if kind == "parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), source)
    elif kind == "list":
        source.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    elif kind == "gzip":
        source.write_bytes(gzip.compress(write(source, *rows).read_bytes()))
    else:
        write(source, *rows)
    main([name, str(source), str(tmp_path / "new/out.jsonl")])
    wanted = FORMATS[name].convert(ROWS[name])
    lines = (tmp_path / "new/out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [wanted] * 3
    records = read_records(str(tmp_path / "new/out.jsonl"))
    assert [record.labels for record in records] == [tuple(float(label == "+") for label in wanted["labels"])] * 3
    assert "3 records of 3 rows" in capsys.readouterr().out


def test_text_is_written_as_it_is_and_gz_compresses(tmp_path):
    steps = ["шаг\n两 \\frac{1}{2}", " x\u2028y "]
    source = write(tmp_path / "a.jsonl", TRL | {"completions": steps})
    main(["trl", str(source), str(tmp_path / "out.jsonl.gz")])
    text = gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).decode()
    assert json.loads(text)["responses"] == steps and "шаг" in text
    assert read_records(str(tmp_path / "out.jsonl.gz"))[0].steps == tuple(step.strip() for step in steps)


def test_what_is_left_out_is_counted_with_its_first_places(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unrated = PRM800K | {"rating": None}
    write(Path("a.jsonl"), unrated, PRM800K, unrated, unrated, unrated)
    main(["prm800k-candidates", "a.jsonl", "out.jsonl"])
    assert capsys.readouterr().out.splitlines() == [
        "out.jsonl: 1 records of 5 rows; 2 steps, 100.0% of them +",
        "  4 left out: no rating (a.jsonl:1; a.jsonl:3; a.jsonl:4; ...)",
    ]


BAD = [
    (PROCESSBENCH | {"label": 3}, "3 - label beyond the steps"),
    ({"problem": "q", "steps": ["s"]}, "missing key (no label)"),
    (PROCESSBENCH | {"label": "1"}, '"1" - wrong type (label); it is a whole number'),
    (PROCESSBENCH | {"label": True}, "wrong type (label)"),
    (PROCESSBENCH | {"steps": ["s", None]}, "wrong type (responses[1] is null)"),
    (PROCESSBENCH | {"steps": ["s", " "]}, "blank step (responses[1])"),
    (PROCESSBENCH | {"steps": [], "label": -1}, "no responses"),
    (["q"], "not an object"),
]


def test_all_bad_rows_are_told_at_once_and_nothing_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("a.jsonl"), PROCESSBENCH, *(row for row, _ in BAD))
    error = refusal(capsys, "processbench", "a.jsonl", "out.jsonl")
    assert "8 of 9 rows cannot be converted" in error and "--skip_bad_records" in error
    for line, (_, told) in enumerate(BAD, 2):
        assert any(f"a.jsonl:{line}: " in shown and told in shown for shown in error.splitlines()), told
    assert files_in(tmp_path) == {"a.jsonl"}


def test_bad_rows_are_left_out_and_counted_if_that_is_asked_for(tmp_path, capsys):
    source = write(tmp_path / "a.jsonl", PROCESSBENCH, *(row for row, _ in BAD))
    main(["processbench", str(source), str(tmp_path / "out.jsonl"), "--skip_bad_records"])
    out = capsys.readouterr().out
    assert "1 records of 9 rows" in out and "3 left out: wrong type" in out and "1 left out: blank step" in out
    assert len(read_records(str(tmp_path / "out.jsonl"))) == 1


def test_labels_that_are_not_as_many_as_the_steps_are_bad(tmp_path, capsys):
    source = write(tmp_path / "a.jsonl", TRL | {"labels": [True]})
    assert "labels and responses differ in length (responses: 2, labels: 1)" in refusal(
        capsys, "trl", source, tmp_path / "out.jsonl"
    )


def test_of_many_bad_rows_twenty_are_shown_and_all_counted(tmp_path, capsys):
    source = write(tmp_path / "a.jsonl", *[{}] * 30)
    error = refusal(capsys, "trl", source, tmp_path / "out.jsonl")
    assert error.count("a.jsonl:") == 20 and "By reason: missing key 30" in error


def test_rows_of_a_parquet_file_have_their_number(tmp_path, capsys):
    import pyarrow
    from pyarrow import parquet

    rows = [PROCESSBENCH] * 2000 + [PROCESSBENCH | {"label": 9}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert "a.parquet, row 2001: 9 - label beyond the steps" in refusal(
        capsys, "processbench", tmp_path / "a.parquet", tmp_path / "out.jsonl"
    )


@pytest.mark.parametrize(
    "content", [b"PAR1 cut short", gzip.compress(b'{"a": 1}\n' * 999, mtime=0)[:-20], b"\x89PNG\0\0", b""]
)
def test_a_file_that_is_broken_as_a_whole_is_never_left_out(tmp_path, capsys, content):
    (tmp_path / "a").write_bytes(content)
    error = refusal(capsys, "trl", tmp_path / "a", tmp_path / "out.jsonl", "--skip_bad_records")
    assert "1 file cannot be read" in error and files_in(tmp_path) == {"a"}


def test_data_without_any_record_is_refused(tmp_path, capsys):
    source = write(tmp_path / "a.jsonl", PRM800K | {"rating": None})
    error = refusal(capsys, "prm800k-candidates", source, tmp_path / "out.jsonl")
    assert "none of 1 rows gives a record" in error and "no rating" in error
    assert files_in(tmp_path) == {"a.jsonl"}


def test_an_existing_file_is_replaced_only_if_that_is_asked_for(tmp_path, capsys):
    source, output = write(tmp_path / "a.jsonl", TRL), tmp_path / "out.jsonl"
    output.write_text("before")
    assert "--overwrite" in refusal(capsys, "trl", source, output)
    write(source, TRL, {})
    refusal(capsys, "trl", source, output, "--overwrite")
    assert output.read_text() == "before"
    write(source, TRL)
    main(["trl", str(source), str(output), "--overwrite"])
    assert len(read_records(str(output))) == 1
    assert "one of the files to convert" in refusal(capsys, "trl", source, source, "--overwrite")
    assert "is a folder" in refusal(capsys, "trl", source, tmp_path, "--overwrite")
    assert files_in(tmp_path) == {"a.jsonl", "out.jsonl"}


def test_a_source_that_is_not_there_is_told(tmp_path, capsys):
    assert "does not exist" in refusal(capsys, "trl", tmp_path / "a.jsonl", tmp_path / "out.jsonl")


def test_several_files_are_read_in_their_order(tmp_path):
    write(tmp_path / "a.jsonl", TRL | {"prompt": "a"})
    write(tmp_path / "b.jsonl", TRL | {"prompt": "b"})
    main(["trl", str(tmp_path / "*.jsonl"), str(tmp_path / "out/all.jsonl")])
    assert [record.src for record in read_records(str(tmp_path / "out/all.jsonl"))] == [("a",), ("b",)]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no shared samples beside the repository")
@pytest.mark.parametrize(
    "name, source, written",
    [
        ("prm800k-candidates", "prm800k/phase1_test.stepwise-critic.parquet", 5449 - 367),
        ("processbench", "processbench/gsm8k.json", 400),
        ("prmbench", "prmbench/circular.jsonl", 90 - 1),
        ("trl", "trl/standard_stepwise_supervision.jsonl", 19),
    ],
)
def test_the_published_data_is_converted(tmp_path, name, source, written):
    main([name, str(SAMPLES / source), str(tmp_path / "out.jsonl")])
    assert len(read_records(str(tmp_path / "out.jsonl"))) == written


# ---- the documentation


def blocks_of_the_page() -> list[str]:
    section = (REPOSITORY / "docs/data.md").read_text(encoding="utf-8").split("## Other data sets")[1]
    return re.findall(r"```text\n(.*?)```", section, re.DOTALL)


def test_every_format_is_documented_with_its_fields():
    page = (REPOSITORY / "docs/data.md").read_text(encoding="utf-8")
    for name, form in FORMATS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert all(f"`{field}`" in row for field in form.fields), name


def test_the_report_of_bad_rows_is_the_one_that_is_documented(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, example, report = blocks_of_the_page()
    Path("bad.jsonl").write_text(example, encoding="utf-8")
    assert refusal(capsys, "processbench", "bad.jsonl", "new.jsonl") == "\n" + report


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no shared samples beside the repository")
def test_the_counts_of_prm800k_are_those_that_are_documented(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("phase1_test.parquet").symlink_to(SAMPLES / "prm800k/phase1_test.stepwise-critic.parquet")
    main(["prm800k-candidates", "phase1_test.parquet", "prm800k.jsonl"])
    assert capsys.readouterr().out == blocks_of_the_page()[0]
