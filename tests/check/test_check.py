"""python -m llm check: planted faults are found with their places, the clean part has none, exit codes say which."""

from __future__ import annotations

import gzip
import json
import random
import re

import pytest

from llm.check.check import main
from llm.core.records.json_stream import LONGEST
from llm.core.records.reward_records import LABELLED
from llm.core.text.reading import reward_reading
from llm.data.check.data_check import check_data
from tests.data.check.records import line, write
from tests.data.mutated_bytes import write_mutated

GOOD = [line("Q1", ["+", "-"]), line("Q2", ["-", "+"]), line("Q3", [0.5, None])]
FAULTS = [
    line("Q4", [None, None]),
    line("Q1", ["+", "-"]),  # again
    line("Q5", ["+"]),
    line("Q5", ["-"]),  # the other way
    line("Q6", []),
    line("Q7", ["+"], responses=["a", "b"]),
    line("Q8", ["good"]),
    '{"src": ["Q9"], "responses": ["a"]}',
    '{"prompt": "Q10 a ки", "label": []}',
    "{broken",
    line("held out", ["+", "-"]),
]
KINDS = {
    "bad record": {
        "no labels": 1,
        "labels and responses differ in length": 1,
        "unknown label": 1,
        "missing key": 1,
        "unreadable JSON": 1,
        "no responses": 1,
    },
    "other format": 1,
    "unusable row": 1,
    "no label": 1,
    "duplicate": 1,
    "contradiction": 1,
    "question in held-out data": 1,
}


def run(*argv: object) -> int:
    try:
        main([*map(str, argv)])
    except SystemExit as end:
        return end.code
    return 0


def found(capsys, *argv: object) -> dict:
    assert run(*argv, "--json") == 1
    return json.loads(capsys.readouterr().out)


def test_clean_data_is_clean(tmp_path, capsys):
    assert run(write(tmp_path / "data.jsonl", *GOOD)) == 0
    assert capsys.readouterr().out.endswith("\n\nclean\n")
    assert run(tmp_path / "data.jsonl", "--json") == 0
    assert json.loads(capsys.readouterr().out)["clean"] is True


def test_every_planted_fault_is_found_where_it_is_and_nothing_else(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [*GOOD, *FAULTS]
    random.Random(0).shuffle(lines)
    write(tmp_path / "data.jsonl", *lines)
    write(tmp_path / "dev.jsonl", line("Held  out", ["+"]), "{broken")
    outcome = found(capsys, "data.jsonl", "--against", "dev.jsonl")
    kinds: dict = {"bad record": {}}
    for finding in outcome["findings"]:
        if finding["kind"] == "bad record":
            kinds["bad record"][finding["text"].split(": ")[1]] = finding["count"]
        else:
            kinds[finding["kind"]] = finding["count"]
    assert kinds == KINDS
    places = {
        match
        for one in outcome["findings"]
        for match in re.findall(r"^data\.jsonl:(\d+)", "\n".join(one["examples"]), re.M)
    }
    firsts = {str(lines.index(text) + 1) for text in (line("Q1", ["+", "-"]), line("Q5", ["+"]), line("Q5", ["-"]))}
    planted = {str(number) for number, text in enumerate(lines, 1) if text in FAULTS}
    assert planted - firsts <= places <= planted | firsts
    assert (outcome["data"]["records"], outcome["data"]["bad"]) == (len(lines), 6)


def test_the_clean_part_is_clean_and_as_it_was_written(tmp_path, capsys):
    lines = [*FAULTS, *GOOD, *FAULTS]
    data = write(tmp_path / "data.jsonl", *lines)
    dev = write(tmp_path / "dev.jsonl", line("held out", ["+"]))
    fixed = tmp_path / "fixed.jsonl.gz"
    assert run(data, "--against", dev, "--fix", fixed) == 1
    out = capsys.readouterr().out
    kept = gzip.decompress(fixed.read_bytes()).decode().splitlines()
    assert kept == [line("Q1", ["+", "-"]), line("Q2", ["-", "+"]), line("Q3", [0.5, None])]
    assert f"{fixed}: 3 of 25 records; 12 left out: bad; " in out
    assert run(fixed, "--against", dev) == 0
    assert run(data, "--fix", fixed) == 2 and "exists already" in capsys.readouterr().err
    assert run(data, "--fix", data, "--overwrite") == 2 and "one of the files to read" in capsys.readouterr().err


def test_a_list_and_many_examples_are_told_with_bounds(tmp_path, capsys):
    data = tmp_path / "data.json"
    data.write_text(json.dumps([json.loads(line("Q", ["good"])) for _ in range(30)] + [json.loads(GOOD[0])], indent=1))
    assert run(data) == 1
    out = capsys.readouterr().out
    assert out.count("unknown label (labels[0])") == 5 and "and 25 more" in out and "element 5 (line " in out


WHOLE = "\n".join(GOOD)
FILES = {
    "truncated gzip": (gzip.compress(WHOLE.encode())[:-12], "file cannot be read"),
    "invalid UTF-8": (WHOLE.replace("Q2", "\udcff").encode(errors="surrogateescape"), "invalid UTF-8"),
    "empty": (b"", "no record in the file"),
    "NaN": (WHOLE.replace("0.5", "NaN").encode(), "NaN or Infinity"),
    "Infinity": (WHOLE.replace("0.5", "-Infinity").encode(), "NaN or Infinity"),
    "deep nesting": ((WHOLE + '\n{"src": ' + "[" * 9999 + "]" * 9999 + "}").encode(), "nested too deeply"),
    "a long line": (f'{WHOLE}\n{{"src": "{"x" * LONGEST}"}}'.encode(), "record too long"),
    "parquet": (b"PAR1\0\0", "not a text file"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_is_a_finding_with_its_place(tmp_path, capsys, name):
    content, reason = FILES[name]
    (tmp_path / "data.jsonl").write_bytes(content)
    fine = write(tmp_path / "fine.jsonl", *GOOD)
    outcome = found(capsys, tmp_path / "data.jsonl", fine)
    (finding,) = [one for one in outcome["findings"] if reason in one["examples"][0]]
    assert str(tmp_path / "data.jsonl") in finding["examples"][0]
    assert outcome["data"]["usable"] >= len(GOOD)
    assert run(tmp_path / "data.jsonl", fine, "--fix", tmp_path / "fixed.jsonl") == 1
    texts = (tmp_path / "fixed.jsonl").read_text(encoding="utf-8").splitlines()
    assert {*texts} == {*GOOD} and (tmp_path / "data.jsonl").read_bytes() == content


@pytest.mark.parametrize("content", ["\ufeff" + WHOLE, WHOLE.replace("\n", "\r\n"), f"\n\n{WHOLE}\n\n"])
def test_what_other_programs_write_around_records_is_no_fault(tmp_path, content):
    (tmp_path / "data.jsonl").write_bytes(content.encode())
    assert run(tmp_path / "data.jsonl") == 0


def test_what_cannot_be_checked_is_told_and_ends_with_2(tmp_path, capsys):
    data = write(tmp_path / "data.jsonl", *GOOD)
    (tmp_path / "empty").mkdir()
    for argv, told in (
        ([tmp_path / "nothere.jsonl"], "does not exist"),
        ([tmp_path / "empty"], "has no file that ends in"),
        ([data, "--against", tmp_path / "nothere.jsonl"], "does not exist"),
        ([data, "--agains", data], "write against"),
        ([data, "--max_seq_len", 8], "has no effect on a check without --config or --tokenizer"),
        ([data, "--reward_tokens", "+"], "not two different tokens"),
        (["--json"], "no data is named"),
        ([data, "--config"], "--config takes the path of one configuration"),
        ([data, "--config", tmp_path / "nothere.json"], "nothere.json: cannot be read"),
        ([write(tmp_path / "bad.jsonl", "{"), "--fix", tmp_path / "fixed.jsonl"], "no record is without a finding"),
    ):
        assert run(*argv) == 2, argv
        assert told in capsys.readouterr().err, argv


def test_other_labels_and_placeholders_are_as_the_flags_say(tmp_path, capsys):
    data = write(tmp_path / "data.jsonl", line("Q", ["yes", "no"], responses=["a <step>", "b"]))
    assert run(data, "--reward_tokens", "yes,no") == 0
    capsys.readouterr()
    outcome = found(capsys, data, "--reward_tokens", "yes,no", "--placeholder-token", "<step>")
    assert [finding["kind"] for finding in outcome["findings"]] == ["placeholder in a step"]


def test_mutated_records_are_findings_and_never_errors(tmp_path):
    data = tmp_path / "data.jsonl"
    count = write_mutated(data, [*GOOD, *FAULTS], 3000)
    check = check_data([data], reward_reading(LABELLED))
    assert check.read == len(check.destinations) == count
    assert 0 < check.usable < check.read and check.bad.count == check.read - check.usable
    assert all(finding.examples for finding in check.findings() if finding.kind == "bad record")


def test_rows_of_another_format_are_told_with_what_converting_would_refuse(tmp_path, capsys):
    """What the tools that wrote such rows warn of: empty labels, and special tokens that are not one per label."""
    token = "<|reserved_special_token_250|>"
    prompt = f"Question: 1 + 1?\nAnswer: It is 2.{token}The answer is: 2{token}"
    rows = [{"prompt": prompt, "label": labels} for labels in ([1, 0], [], [1], [0, 1])]
    outcome = found(capsys, write(tmp_path / "data.jsonl", *map(json.dumps, rows)))
    told = {(one["kind"], one["count"], one["text"].rpartition(": ")[2]): one for one in outcome["findings"]}
    assert [(kind, count) for kind, count, _ in told] == [
        ("other format", 4),
        ("unusable row", 1),
        ("unusable row", 1),
        ("no record", 0),
    ]
    assert told["unusable row", 1, "no labels"]["examples"][0].startswith(f"{tmp_path}/data.jsonl:2")
    differ = told["unusable row", 1, "special tokens and labels differ in number"]
    assert differ["examples"][0].startswith(f"{tmp_path}/data.jsonl:3: [1]")
    assert "python -m llm convert special-token" in outcome["findings"][0]["advice"]


def test_preferences_are_checked(tmp_path, capsys):
    pair = {"src": ["Q"], "response": ["right one", "wrong"], "sort": [1, 0]}
    rows = [pair, pair | {"sort": [0, 1]}, pair | {"src": ["P"]}, pair | {"response": ["a", "a"]}, json.loads(GOOD[0])]
    outcome = found(capsys, write(tmp_path / "data.jsonl", *map(json.dumps, rows)))
    assert outcome["data"]["form"] == "preference record"
    assert [(one["kind"], one["count"]) for one in outcome["findings"]] == [
        ("bad record", 1),
        ("bad record", 1),
        ("contradiction", 1),
    ]
    assert outcome["data"]["pairs"]["chosen is longer"] == 2
