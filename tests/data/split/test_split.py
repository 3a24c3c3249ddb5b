"""Files of a split: every record once, as it was written, with all others of its question; or no file at all."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from llm.core.records.records import read_records
from llm.data import written_records
from llm.data.questions import normalised
from llm.data.split.split import main
from llm.data.written_records import copy_records, stamps
from tests.data.mutated_bytes import write_mutated


def line(question: str, *labels: object, **more: object) -> str:
    steps = [f"step {number}" for number in range(len(labels))]
    return json.dumps({"src": [question], "responses": steps, "labels": labels, **more})


def random_lines(seed: int) -> list[str]:
    """Solutions of up to 6 to a question, their spelling of it and of JSON different."""
    chance = random.Random(seed)
    lines = []
    for number in range(120):
        question = f"How much is {number} \u00e9?"
        for _ in range(chance.randint(1, 6)):
            spelt = chance.choice([question, question.upper(), f" {question} "])
            text = line(spelt, *chance.choices(["+", "-", 0.25, None, True], k=4), extra=chance.random())
            lines.append(
                chance.choice([text, text.replace(", ", ",  "), json.dumps(json.loads(text), ensure_ascii=False)])
            )
    chance.shuffle(lines)
    return lines


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return path


def split(folder: Path, *argv: object) -> dict[str, list[str]]:
    """The lines of the files that are written."""
    main([*map(str, argv), "--output-dir", str(folder)])
    return {path.stem: path.read_text(encoding="utf-8").splitlines() for path in folder.iterdir()}


def refusal(capsys, *argv: object) -> str:
    with pytest.raises(SystemExit) as end:
        main([*map(str, argv)])
    assert end.value.code == 2
    return capsys.readouterr().err


def questions_in(lines: list[str]) -> set[str]:
    return {normalised(json.loads(text)["src"][0]) for text in lines}


@pytest.mark.parametrize("seed", range(3))
def test_every_record_is_written_once_unchanged_and_no_question_is_in_two_files(tmp_path, seed):
    lines = random_lines(seed)
    middle = len(lines) // 2
    data = [write(tmp_path / "a.jsonl", lines[:middle]), write(tmp_path / "b.jsonl", lines[middle:])]
    parts = split(tmp_path / "out", *data, "--dev_ratio", 0.2, "--test_count", 50, "--seed", seed)
    assert set(parts) == {"train", "dev", "test"}
    assert Counter(text for part in parts.values() for text in part) == Counter(lines)
    assert sum(len(questions_in(part)) for part in parts.values()) == len(questions_in(lines))
    assert 44 < len(parts["test"]) <= 50 and 0.2 * len(lines) - 6 < len(parts["dev"]) <= 0.2 * len(lines) + 1
    kept_order = [text for text in lines if text in set(parts["dev"])]
    assert parts["dev"] == kept_order


def test_the_seed_decides(tmp_path):
    data = write(tmp_path / "data.jsonl", random_lines(0))
    a, again, other = (
        split(tmp_path / name, data, "--dev_ratio", 0.3, "--seed", seed)
        for name, seed in [("a", 1), ("b", 1), ("c", 2)]
    )
    assert a == again and a["dev"] != other["dev"]


def test_each_file_has_the_labels_of_the_whole(tmp_path):
    lines = [line(f"q{number}", *labels) for number, labels in enumerate([("+", "+"), ("+", "-"), ("-", "-")] * 33)]
    parts = split(tmp_path / "out", write(tmp_path / "data.jsonl", lines), "--dev_count", 20)
    assert len(parts["dev"]) == 20
    for labels in (["+", "+"], ["+", "-"], ["-", "-"]):
        assert sum(json.loads(text)["labels"] == labels for text in parts["dev"]) in (6, 7)


def test_a_limit_alone_cuts_a_small_data_set_out_of_a_large_one(tmp_path, capsys):
    lines = [line(f"q{number}", "+", "-") for number in range(40)]
    parts = split(tmp_path / "out", write(tmp_path / "data.jsonl", lines), "--limit", 7)
    assert set(parts) == {"train"} and len(parts["train"]) == 7 and set(parts["train"]) < set(lines)
    assert capsys.readouterr().out.splitlines() == [
        "read: 40 records of 40 questions; 80 labelled steps, 50.0% of them +",
        f"{tmp_path}/out/train.jsonl: 7 records of 7 questions; 14 labelled steps, 50.0% of them +",
        "not used: 33 records of 33 questions; 66 labelled steps, 50.0% of them +",
    ]
    small = split(tmp_path / "all", tmp_path / "data.jsonl", "--limit", 10, "--dev_ratio", 0.2)
    assert (len(small["train"]), len(small["dev"])) == (8, 2)


def test_lists_and_compressed_files_become_lines_with_the_characters_of_every_record(tmp_path):
    values = [{"src": f"q{n}", "responses": ["a\nb"], "labels": [n % 2], "weight": 1e-05} for n in range(6)]
    data = tmp_path / "data.json.gz"
    data.write_bytes(gzip.compress(json.dumps(values, indent=4).replace("1e-05", "0.1000e-4").encode()))
    main([str(data), "--output_dir", str(tmp_path / "out"), "--dev_count", "2", "--gzip"])
    lines = [
        text
        for name in ("train", "dev")
        for text in gzip.decompress((tmp_path / f"out/{name}.jsonl.gz").read_bytes()).decode().splitlines()
    ]
    assert sorted((json.loads(text) for text in lines), key=lambda value: value["src"]) == [
        value | {"weight": 0.00001} for value in values
    ]
    assert all('"weight": 0.1000e-4' in text for text in lines)


def test_preferences_are_split_by_question(tmp_path):
    lines = [
        json.dumps({"src": [f"q{number // 2}"], "response": ["a", f"b{number}"], "sort": [1, 0]})
        for number in range(20)
    ]
    parts = split(tmp_path / "out", write(tmp_path / "data.jsonl", lines), "--dev_ratio", 0.3)
    assert len(parts["dev"]) == 6 and not questions_in(parts["dev"]) & questions_in(parts["train"])


def test_bad_records_end_the_command_or_are_left_out_and_counted(tmp_path, capsys):
    good = [line(f"q{number}", "+") for number in range(4)]
    data = write(tmp_path / "data.jsonl", [good[0], "{", good[1], line("q"), *good[2:], '{"src": "q"}'])
    out = tmp_path / "out"
    report = refusal(capsys, data, "--output_dir", out, "--dev_count", 1)
    assert "3 of 7 records cannot be used" in report and "data.jsonl:2" in report and not out.exists()
    parts = split(out, data, "--dev_count", 1, "--skip_bad_records")
    assert Counter(parts["train"] + parts["dev"]) == Counter(good) and len(parts["dev"]) == 1
    assert "1 record left out: unreadable JSON" in capsys.readouterr().out


def test_of_mutated_records_the_good_ones_are_written_and_no_others(tmp_path):
    data = tmp_path / "data.jsonl"
    write_mutated(data, [line(f"q{number}", "+", "-", 0.5) for number in range(50)], 2000)
    parts = split(tmp_path / "out", data, "--dev_ratio", 0.2, "--skip_bad_records")
    written = [text for part in parts.values() for text in part]
    source = Counter(text.strip(b" \t\r\n") for text in data.read_bytes().split(b"\n"))
    assert not Counter(text.encode() for text in written) - source
    clean = tmp_path / "clean.jsonl"
    write(clean, written)
    assert len(read_records(clean)) == len(written) > 100
    assert not questions_in(parts["dev"]) & questions_in(parts["train"])


def test_files_that_exist_are_only_replaced_when_asked(tmp_path, capsys):
    data = write(tmp_path / "data.jsonl", [line(f"q{number}", "+") for number in range(4)])
    out = tmp_path / "out"
    first = split(out, data, "--dev_count", 1)
    assert "exists already" in refusal(capsys, data, "--output_dir", out, "--dev_count", 2)
    assert "of another split" in refusal(capsys, data, "--output_dir", out, "--limit", 2, "--overwrite")
    assert split(out, data, "--dev_count", 2, "--overwrite") != first
    inside = write(tmp_path / "train.jsonl", ["never touched"])
    assert "one of the files to read" in refusal(capsys, inside, "--output_dir", tmp_path, "--limit", 1, "--overwrite")


def test_what_cannot_be_split_is_refused_and_nothing_is_written(tmp_path, capsys):
    data = write(tmp_path / "data.jsonl", [line("q", "+") for _ in range(4)])
    out = tmp_path / "out"
    assert "nothing to split off" in refusal(capsys, data, "--output_dir", out)
    assert "no question is left for dev" in refusal(capsys, data, "--output_dir", out, "--dev_ratio", 0.5)
    assert "no question is left for train" in refusal(capsys, data, "--output_dir", out, "--dev_count", 9)
    ratios = "--dev_ratio", 0.5, "--test_ratio", 0.5
    assert "leave nothing to train on" in refusal(capsys, data, "--output_dir", out, *ratios)
    for flag, value in [("--dev_ratio", "1"), ("--dev_ratio", "nan"), ("--limit", "0"), ("--seed", "-1")]:
        assert f"{value} is not" in refusal(capsys, data, "--output_dir", out, flag, value)
    assert not out.exists()


def test_a_file_that_changes_between_the_passes_leaves_no_output(tmp_path):
    data = write(tmp_path / "data.jsonl", [line("q", "+")])
    before = stamps([data])
    write(data, [line("another", "+"), line("q", "+")])
    with pytest.raises(ValueError, match="data.jsonl changed while it was read"):
        copy_records([data], before, b"\1", {1: tmp_path / "out.jsonl"})
    assert {path.name for path in tmp_path.iterdir()} == {"data.jsonl"}


def test_a_failed_write_leaves_no_file(tmp_path, monkeypatch, capsys):
    data = write(tmp_path / "data.jsonl", [line(f"q{number}", "+") for number in range(4)])

    def interrupted(text: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(written_records, "on_one_line", interrupted)
    with pytest.raises(SystemExit):
        main([str(data), "--output_dir", str(tmp_path / "out"), "--dev_count", "1"])
    assert "stopped by Ctrl-C" in capsys.readouterr().err and not list((tmp_path / "out").iterdir())
