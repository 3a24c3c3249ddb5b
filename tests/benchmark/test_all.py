"""All comparisons on one page: what is run, what is kept, and what the page says of it."""

import json
import subprocess

import pytest

from llm.benchmark.all import all as every
from llm.benchmark.all.page import write_page
from llm.benchmark.arguments import KINDS, parse
from llm.benchmark.report import table

OURS = {"solutions_per_second": 60.0, "seconds": 1.0, "peak_megabytes": 900.0, "floor_share": 0.5, "ratio": None}
OUTCOME = {
    "trainers": {
        "this project, forest": OURS,
        "TRL, float32": {"seconds": 8.0, "ratio": 8.0, "peak_megabytes": 2000.0},
        "TRL, float32, by length": {"seconds": 4.0, "ratio": 4.0, "peak_megabytes": 1500.0},
        "TRL, bfloat16": {"seconds": 2.0, "ratio": 2.0, "peak_megabytes": 1000.0},
    }
}


def arguments_of(folder, *flags):
    return parse("all", ["--output", str(folder), *flags])


def test_every_workload_is_a_benchmark_that_can_be_run(tmp_path):
    found = every.workloads(arguments_of(tmp_path, "data/steps.jsonl", "flat.jsonl"))
    assert [name for name in found if "steps" in name] == ["train steps", "score steps"]
    assert {argv[0] for argv in found.values()} == {"peer", "scoring", "answers"} < set(KINDS)
    for argv in found.values():
        parse(argv[0], [*argv[1:], "--peer_python", "/bin/sh", "--rounds", "1", "--seconds", "1", "--float32_only"])


def test_a_workload_is_compared_with_the_fastest_way_in_each_precision():
    row = every.row_of("train steps", OUTCOME)
    assert (row["float32_ratio"], row["float32_megabytes"]) == (4.0, 1500.0)
    assert (row["bfloat16_ratio"], row["bfloat16_megabytes"]) == (2.0, 1000.0)
    assert (row["solutions_per_second"], row["peak_megabytes"], row["floor_share"]) == (60.0, 900.0, 0.5)
    scored = {"scorers": {name: way for name, way in OUTCOME["trainers"].items() if "bfloat16" not in name}}
    assert every.row_of("score", scored)["bfloat16_ratio"] is None


@pytest.mark.slow
def test_what_is_measured_is_kept_and_not_measured_again(tmp_path, monkeypatch):
    started = []

    def run(command, **_):
        started.append(command[4:])
        return subprocess.CompletedProcess(command, 0, stdout=f"a table\n{json.dumps(OUTCOME)}\n")

    first_two = dict([*every.workloads(arguments_of(tmp_path)).items()][:2])
    monkeypatch.setattr(every, "workloads", lambda arguments: first_two)
    monkeypatch.setattr(every.subprocess, "run", run)
    every.main(arguments_of(tmp_path, "--float32_only"), {})
    assert len(started) == 2 and "--float32_only" in started[0]
    every.main(arguments_of(tmp_path, "--float32_only"), {})
    assert len(started) == 2
    every.main(arguments_of(tmp_path), {})  # other arguments
    assert len(started) == 4


def test_a_comparison_that_fails_is_said(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 2, stdout="")
    monkeypatch.setattr(every.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ValueError, match="benchmark scoring --candidates 64 .* ended with 2"):
        every.main(arguments_of(tmp_path), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_page_and_the_picture_have_every_workload(tmp_path):
    rows = [every.row_of("train steps", OUTCOME), every.row_of("score <b>", OUTCOME)]
    write_page(tmp_path, "AMD EPYC (AVX2), 2 threads", table(every.COLUMNS, rows), rows)
    page, picture = ((tmp_path / f"results.{kind}").read_text(encoding="utf-8") for kind in ("html", "svg"))
    for text in (page, picture):
        assert "train steps" in text and "score &lt;b&gt;" in text and "4.0" in text and "2.0" in text
    assert "AMD EPYC (AVX2), 2 threads" in page and "<b>" not in page
    assert picture.startswith("<svg") and "currentColor" not in picture
