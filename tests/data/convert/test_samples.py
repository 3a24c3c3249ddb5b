"""Pieces of published data sets: what the command says agrees with a count of the source that knows nothing of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pyarrow import parquet

from llm.core.records.records import ReadCounts, find_form, iter_records
from llm.data.convert.convert import main

SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "samples"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no shared samples beside the repository")


def rows(name: str) -> list[dict]:
    path = SAMPLES / name
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if text.lstrip()[0] == "[" else [json.loads(line) for line in text.splitlines()]


def converted(folder: Path, name: str, *words: str) -> ReadCounts:
    """What training reads of it, of which none is refused."""
    output = folder / "out.jsonl.gz"
    main([str(SAMPLES / name), "--output", str(output), "--overwrite", *words])
    counts = ReadCounts()
    form, _ = find_form(str(output))
    for _ in iter_records(str(output), counts=counts, form=form):
        pass
    assert counts.read == counts.kept
    return counts


def told(capsys) -> tuple[int, int, int]:
    """(rows, records, labels) of the report."""
    report = capsys.readouterr().out
    numbers = re.search(r": ([\d,]+) rows? read, ([\d,]+) records? written; ([\d,]+) labels", report)
    return tuple(int(number.replace(",", "")) for number in numbers.groups())


def test_math_shepherd(tmp_path, capsys):
    source = rows("math_shepherd/samples_math-shepherd.jsonl")
    counts = converted(tmp_path, "math_shepherd/samples_math-shepherd.jsonl")
    assert told(capsys) == (len(source), len(source), sum(row["input"].count("ки") for row in source))
    # a sign of a step has a blank before it and is the last of its line
    signs = [sign for row in source for sign in re.findall(r" ([+-])$", row["label"], re.MULTILINE)]
    assert (counts.steps, counts.positive) == (len(signs), signs.count("+"))


@pytest.mark.parametrize("neutral, value", [("good", 1), ("bad", 0), ("soft", 0.5), ("skip", None)])
def test_prm800k(tmp_path, capsys, neutral, value):
    source = rows("prm800k/raw_phase1_phase2.jsonl")
    counts = converted(tmp_path, "prm800k/raw_phase1_phase2.jsonl", "--neutral", neutral)
    ratings = [
        {1: 1, 0: value, -1: 0}[completion["rating"]]
        for row in source
        for step in row["label"]["steps"]
        for completion in step["completions"] or []
    ]
    judged = [rating for rating in ratings if rating is not None]
    assert (counts.steps, counts.positive) == (len(judged), sum(judged))
    assert told(capsys) == (len(source), counts.kept, len(judged))


def test_prm800k_candidates(tmp_path, capsys):
    source = rows("prm800k/phase1_test.stepwise-critic.parquet")
    counts = converted(tmp_path, "prm800k/phase1_test.stepwise-critic.parquet")
    rated = [row for row in source if row["rating"] is not None]
    steps = sum(len(row["responses"]) + 1 for row in rated)
    wrong = sum(row["rating"] == -1 for row in rated)
    assert told(capsys) == (len(source), len(rated), steps) == (5449, 5082, 72429)
    assert (counts.steps, counts.positive) == (steps, steps - wrong)


def test_math_aps(tmp_path, capsys):
    source = rows("math_aps/prefixes.jsonl")
    values = [
        step["mc_value"]
        for row in source
        for step in row["reasoning_steps"]
        if step["solution_prefix"].strip() != row["question"].strip()
    ]
    counts = converted(tmp_path, "math_aps/prefixes.jsonl")
    assert (counts.steps, counts.positive) == (len(values), pytest.approx(sum(values)))
    assert told(capsys)[::2] == (len(source), len(values))
    assert converted(tmp_path, "math_aps/prefixes.jsonl", "--threshold", "0").positive == sum(v > 0 for v in values)


def nodes(tree: dict) -> list[dict]:
    return [tree, *(node for child in tree["children"] for node in nodes(child))]


def test_math_aps_trees(tmp_path, capsys):
    source = rows("math_aps/trees.jsonl")
    found = [node for row in source for node in nodes(row["reasoning_steps"])[1:]]
    counts = converted(tmp_path, "math_aps/trees.jsonl")
    assert (counts.steps, counts.positive) == (len(found), pytest.approx(sum(node["mc_value"] for node in found)))
    assert told(capsys) == (len(source), sum(not node["children"] for node in found), len(found))


def test_processbench(tmp_path, capsys):
    source = rows("processbench/gsm8k.json")
    counts = converted(tmp_path, "processbench/gsm8k.json")
    steps = sum(len(row["steps"]) for row in source)
    assert told(capsys) == (len(source), len(source), steps)
    assert counts.positive == sum(len(row["steps"]) if row["label"] < 0 else row["label"] for row in source)


def test_prmbench(tmp_path, capsys):
    source = rows("prmbench/circular.jsonl")
    good = [row for row in source if max(row["error_steps"], default=0) <= len(row["modified_process"])]
    counts = converted(tmp_path, "prmbench/circular.jsonl")
    steps = sum(len(row["modified_process"]) for row in good)
    assert told(capsys) == (len(source), len(good), steps) and len(good) == 89
    assert counts.positive == steps - sum(len(set(row["error_steps"])) for row in good)


def test_trl(tmp_path, capsys):
    source = rows("trl/standard_stepwise_supervision.jsonl")
    counts = converted(tmp_path, "trl/standard_stepwise_supervision.jsonl")
    labels = [label for row in source for label in row["labels"]]
    assert told(capsys) == (len(source), len(source), len(labels)) and counts.positive == sum(labels)


@pytest.mark.parametrize("name", ["prm_dev.json", "preference.jsonl"])
def test_records_stay_as_they_are(tmp_path, name):
    assert converted(tmp_path, f"paddlenlp/{name}").kept == len(rows(f"paddlenlp/{name}"))


@pytest.mark.parametrize("target", ["trl", "openrlhf", "math-shepherd"])
@pytest.mark.parametrize(
    "name",
    [
        "math_shepherd/samples_math-shepherd.jsonl",
        "processbench/gsm8k.json",
        "prmbench/circular.jsonl",
    ],
)
def test_real_records_come_back_from_other_formats(tmp_path, name, target):
    """The same labels and the same words in the same order; questions and steps apart where "Step 1:" tells."""
    paths = [tmp_path / f"{number}.jsonl" for number in range(3)]
    main([str(SAMPLES / name), "--output", str(paths[0])])
    main(["records", str(paths[0]), "--to", target, "--output", str(paths[1])])
    main([target, str(paths[1]), "--output", str(paths[2])])
    for one, other in zip(iter_records(str(paths[0])), iter_records(str(paths[2])), strict=True):
        assert one.labels == other.labels and len(one.steps) == len(other.steps)
        assert " ".join([*one.src, *one.steps]).split() == " ".join([*other.src, *other.steps]).split()
        if target == "trl" or one.steps[0].startswith("Step 1:"):
            assert (one.src, one.steps) == (other.src, other.steps)
