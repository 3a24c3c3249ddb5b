"""The command: every kind of file in, records or another format out, every row accounted for."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from llm.core.records.records import read_records
from llm.data.convert.convert import main
from llm.data.convert.registry import FORMATS
from tests.data.convert.rows import ROWS, STEPS

REPOSITORY = Path(__file__).resolve().parents[3]
PRM800K, PROCESSBENCH, TRL = ROWS["prm800k-candidates"], ROWS["processbench"], ROWS["trl"]


def write(path: Path, *rows) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def lines_of(path: Path) -> list[dict]:
    data = path.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return [json.loads(line) for line in data.decode().splitlines()]


def run(*words) -> None:
    main([*map(str, words)])


def refusal(capsys, *words) -> str:
    with pytest.raises(SystemExit) as end:
        run(*words)
    assert end.value.code == 2
    return capsys.readouterr().err


def pack(kind: str, rows: list[dict], folder: Path) -> Path:
    path = folder / f"source.{kind}"
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if kind == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif kind == "json":
        path.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    else:
        unpacked = {"gz": gzip.compress, "zst": lambda data: pyarrow.compress(data, "zstd", asbytes=True)}
        path.write_bytes(unpacked.get(kind, bytes)(text))
    return path


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("kind", ["jsonl", "json", "gz", "zst", "parquet"])
def test_each_format_is_found_by_its_fields_in_each_kind_of_file(tmp_path, capsys, name, kind):
    """Other columns are ignored. What is written is accepted as records, the same for every kind of file."""
    rows = [ROWS[name] | {"id": f"{name}-{number}", "other": 1.5} for number in range(4)]
    if name == "helpsteer":
        rows[1]["helpfulness"], rows[1]["response"] = 2, "3"
    source = pack(kind, rows, tmp_path)
    run(source, "--output", tmp_path / "found/out.jsonl")
    run(name, write(tmp_path / "rows.jsonl", *rows), "--output", tmp_path / "named.jsonl.gz")
    assert lines_of(tmp_path / "found/out.jsonl") == lines_of(tmp_path / "named.jsonl.gz")
    out = capsys.readouterr().out
    assert f"source.{kind}: {name}, found by the fields\n" in out and "4 rows read" in out
    if name != "llmtrainer-sft":
        form = "preference record" if "response" in lines_of(tmp_path / "named.jsonl.gz")[0] else "labelled record"
        assert read_records(str(tmp_path / "found/out.jsonl"), form=form)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_fits_its_own_format_only(name):
    assert [form.name for form in FORMATS.values() if form.fits(ROWS[name])] == [name]


def test_a_format_that_the_fields_do_not_tell_is_asked_for(tmp_path, capsys):
    error = refusal(capsys, write(tmp_path / "a.jsonl", {"text": "q", "score": 1}), "--output", tmp_path / "out.jsonl")
    assert "a.jsonl:1 are text, score: no format has these" in error and "--map question=problem" in error
    assert all(f"  {name} " in error for name in FORMATS)
    both = write(tmp_path / "b.jsonl", ROWS["processbench"] | ROWS["trl"])
    assert "those of processbench and of trl; name the format first" in refusal(
        capsys, both, "--output", tmp_path / "o"
    )
    assert "no input to convert from trl" in refusal(capsys, "trl", "--output", tmp_path / "o")


def test_columns_are_named_by_map(tmp_path):
    (tmp_path / "a.csv").write_text('problem,solution,ok,x\r\n1 + 1?,"It is\n2",true,\r\n2 + 2?,5,false,\r\n')
    run(tmp_path / "a.csv", "--map", "question=problem,answer=solution,label=ok", "--output", tmp_path / "out.jsonl")
    assert [(record["src"], record["responses"], record["labels"]) for record in lines_of(tmp_path / "out.jsonl")] == [
        (["1 + 1?"], ["It is\n2"], ["+"]),
        (["2 + 2?"], ["5"], ["-"]),
    ]
    rows = [{"q": "1 + 1?", "s": STEPS, "first_wrong": 1.0}, {"q": "2 + 2?", "s": STEPS, "first_wrong": None}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    names = "problem=q,steps=s,label=first_wrong"
    run(tmp_path / "a.parquet", "--map", names, "--output", tmp_path / "b.jsonl")
    assert [record["labels"] for record in lines_of(tmp_path / "b.jsonl")] == [["+", "-", "-"]]


def test_blank_questions_are_counted(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("question,answer,label\n,2,true\n2 + 2?,5,false\n ,4,true\n")
    run(tmp_path / "a.csv", "--output", tmp_path / "out.jsonl")
    assert "records with a blank question: 2, such as" in capsys.readouterr().out
    run(tmp_path / "out.jsonl", "--to", "trl", "--output", tmp_path / "trl.jsonl")
    assert "blank question" not in capsys.readouterr().out  # records may have their question in the first step


def test_columns_that_are_not_there_are_told(tmp_path, capsys):
    source, out = write(tmp_path / "a.jsonl", {"problem": "q", "steps": ["a"], "first": 0}), tmp_path / "out.jsonl"
    error = refusal(capsys, source, "--map", "label=frist", "--output", out)
    assert "--map names 'frist'; the columns of" in error and "a.jsonl:1 are problem, steps, first." in error
    error = refusal(capsys, "processbench", source, "--map", "label=frist", "--output", out)
    assert "missing key (no label (column frist))" in error
    run("processbench", source, "--map", "label=first", "--output", out)


def test_ratings_of_a_parquet_column_with_gaps_are_floating_point(tmp_path, capsys):
    """As PRM800K's larger file has them."""
    rows = [PRM800K | {"rating": rating} for rating in (1, None, -1, 0)]
    table = pyarrow.Table.from_pylist(rows)
    ratings = pyarrow.array([1.0, float("nan"), -1.0, 0.0])
    table = table.set_column(table.schema.get_field_index("rating"), "rating", ratings)
    parquet.write_table(table, tmp_path / "a.parquet")
    run(tmp_path / "a.parquet", "--output", tmp_path / "out.jsonl")
    assert [record["labels"][-1] for record in lines_of(tmp_path / "out.jsonl")] == ["+", "-", "+"]
    assert "1 row dropped: no rating, such as" in capsys.readouterr().out


def test_text_is_written_as_it_is(tmp_path):
    steps = ["шаг\n两 \\frac{1}{2}", " x\u2028y "]
    source = write(tmp_path / "a.jsonl", TRL | {"completions": steps})
    run("trl", source, "--output", tmp_path / "out.jsonl.gz")
    text = gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).decode()
    assert json.loads(text)["responses"] == steps and "шаг" in text


def test_what_is_dropped_is_counted_with_its_first_place(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unrated = PRM800K | {"rating": None}
    write(Path("a.jsonl"), unrated, PRM800K, unrated, PRM800K | {"responses": [" "]})
    run("a.jsonl", "--output", "out.jsonl")
    assert capsys.readouterr().out.splitlines() == [
        "a.jsonl: prm800k-candidates, found by the fields",
        "out.jsonl: 4 rows read, 2 records written; 3 labels, 100.0% of them +",
        "  2 rows dropped: no rating, such as a.jsonl:1",
        "  blank steps left out: 1, such as a.jsonl:4",
    ]


BAD = [
    (PROCESSBENCH | {"label": 3}, "3 - label beyond the steps"),
    ({"problem": "q", "steps": ["s"]}, "missing key (no label)"),
    (PROCESSBENCH | {"label": "one"}, '"one" - wrong type (label); it is a number'),
    (PROCESSBENCH | {"label": True}, "wrong type (label)"),
    (PROCESSBENCH | {"steps": ["s", None]}, "wrong type (steps[1])"),
    (PROCESSBENCH | {"problem": "half \ud800"}, "lone surrogate"),
    (["q"], "not an object"),
]


def bad_file(folder: Path) -> Path:
    path = folder / "a.jsonl"
    path.write_text(
        "".join(json.dumps(row) + "\n" for row in [PROCESSBENCH, *(row for row, _ in BAD)]) + '{"a": NaN}\n'
    )
    return path


def test_all_bad_rows_are_told_at_once_and_nothing_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = refusal(capsys, "processbench", bad_file(tmp_path), "--output", "out.jsonl")
    assert "8 of 9 rows cannot be converted" in error and "--rejects FILE" in error
    for line, told in enumerate([*(told for _, told in BAD), "NaN or Infinity"], 2):
        assert any(f"a.jsonl:{line}: " in shown and told in shown for shown in error.splitlines()), told
    assert files_in(tmp_path) == {"a.jsonl"}


def test_rejects_are_the_bad_rows_as_they_were_with_the_reasons(tmp_path, capsys):
    run("processbench", bad_file(tmp_path), "--output", tmp_path / "out.jsonl", "--rejects", tmp_path / "bad.jsonl")
    assert len(lines_of(tmp_path / "out.jsonl")) == 1
    rejects = lines_of(tmp_path / "bad.jsonl")
    assert [reject["row"] for reject in rejects] == [*(row for row, _ in BAD), '{"a": NaN}']
    for number, reject in enumerate(rejects, 2):
        assert reject["place"].endswith(f"a.jsonl:{number}") and reject["problems"][0].startswith(reject["place"])
    assert "bad.jsonl: 8 rows that cannot be converted" in capsys.readouterr().out
    table = pyarrow.Table.from_pylist([PROCESSBENCH | {"x": float("nan")}, PROCESSBENCH | {"label": 7, "x": 1.5}])
    parquet.write_table(table, tmp_path / "a.parquet")
    paths = ("--output", tmp_path / "out.jsonl", "--rejects", tmp_path / "bad.jsonl", "--overwrite")
    run(tmp_path / "a.parquet", *paths)
    assert [reject["row"] for reject in lines_of(tmp_path / "bad.jsonl")] == [PROCESSBENCH | {"label": 7, "x": 1.5}]


def test_bad_rows_are_left_out_and_counted_if_that_is_asked_for(tmp_path, capsys):
    run("processbench", bad_file(tmp_path), "--output", tmp_path / "out.jsonl", "--skip_bad_records")
    out = capsys.readouterr().out
    assert "9 rows read" in out and "3 rows that cannot be converted: wrong type, such as" in out
    assert len(lines_of(tmp_path / "out.jsonl")) == 1


def test_of_many_bad_rows_twenty_are_shown_and_all_counted(tmp_path, capsys):
    source = write(tmp_path / "a.jsonl", *[{}] * 30)
    error = refusal(capsys, "trl", source, "--output", tmp_path / "out.jsonl")
    assert error.count("a.jsonl:") == 20 and "By reason: missing key 30" in error


def test_rows_of_a_parquet_file_have_their_number(tmp_path, capsys):
    rows = [PROCESSBENCH] * 2000 + [PROCESSBENCH | {"label": 9}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert "a.parquet, row 2001: 9 - label beyond the steps" in refusal(
        capsys, tmp_path / "a.parquet", "--output", tmp_path / "out.jsonl"
    )


def test_data_without_any_record_is_refused(tmp_path, capsys):
    source = write(tmp_path / "a.jsonl", PRM800K | {"rating": None})
    error = refusal(capsys, source, "--output", tmp_path / "out.jsonl")
    assert "none of 1 row gives a record" in error and "no rating" in error
    assert files_in(tmp_path) == {"a.jsonl"}


def test_an_existing_file_is_replaced_only_if_that_is_asked_for(tmp_path, capsys):
    source, output = write(tmp_path / "a.jsonl", TRL), tmp_path / "out.jsonl"
    output.write_text("before")
    assert "--overwrite" in refusal(capsys, source, "--output", output)
    write(source, TRL, {})
    refusal(capsys, source, "--output", output, "--overwrite")
    assert output.read_text() == "before"
    write(source, TRL)
    run(source, "--output", output, "--overwrite")
    assert len(read_records(str(output))) == 1
    assert "one of the files to read" in refusal(capsys, source, "--output", source, "--overwrite")
    assert "to be written twice" in refusal(
        capsys, source, "--output", output, "--rejects", output, "--overwrite", "--skip_bad_records"
    )
    assert files_in(tmp_path) == {"a.jsonl", "out.jsonl"}


@pytest.mark.parametrize(
    "words, told",
    [
        (["--neutral", "bad"], "--neutral means nothing in the format trl; it is for prm800k"),
        (["--threshold", "0.5"], "--threshold means nothing in the format trl; it is for"),
        (["--margins"], "--margins means nothing in the format trl"),
        (["--threshold", "1.5"], "'1.5' is not a number from 0 to below 1"),
        (["--map", "question"], "'question' is not FIELD=COLUMN"),
        (["--map", "a=b,a=c"], "names a field twice"),
        (["--to", "processbench"], "invalid choice"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path, capsys, words, told):
    assert told in refusal(capsys, write(tmp_path / "a.jsonl", TRL), "--output", tmp_path / "out.jsonl", *words)


def test_inputs_are_files_folders_and_patterns_in_their_order(tmp_path):
    for name in "ab":
        write(tmp_path / f"{name}.jsonl", TRL | {"prompt": name})
    parquet.write_table(pyarrow.Table.from_pylist([TRL | {"prompt": "c"}]), tmp_path / "c.parquet")
    (tmp_path / "README.md").write_text("about")
    run(tmp_path, "--output", tmp_path / "out/folder.jsonl")
    run(tmp_path / "c.parquet", tmp_path / "[ab].jsonl", "--output", tmp_path / "out/named.jsonl")
    assert [record["src"][0] for record in lines_of(tmp_path / "out/folder.jsonl")] == ["a", "b", "c"]
    assert [record["src"][0] for record in lines_of(tmp_path / "out/named.jsonl")] == ["c", "a", "b"]


def test_inputs_that_are_not_there_are_told(tmp_path, capsys):
    source = write(tmp_path / "b.jsonl", {})
    error = refusal(capsys, "math_shepherd", source, "--output", tmp_path / "out.jsonl")
    assert "If math_shepherd is meant as a format, write math-shepherd." in error
    assert "does not exist" in refusal(capsys, tmp_path / "a.jsonl", "--output", tmp_path / "out.jsonl")
    (tmp_path / "empty").mkdir()
    error = refusal(capsys, tmp_path / "empty", "--output", tmp_path / "out.jsonl")
    assert "has no file that ends in" in error and ".parquet" in error


@pytest.mark.runs
def test_the_verb_answers_without_importing_paddle(tmp_path):
    source = write(tmp_path / "a.jsonl", TRL)
    words = f"['convert', '{source}', '--output', '{tmp_path / 'out.jsonl'}']"
    code = f"import sys; from llm.command_line import main; main({words}); print('paddle' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
