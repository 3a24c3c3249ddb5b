"""The benchmark of data runs every verb as a person would, and measures all of its processes."""

import json
import sys

import pytest

from llm.benchmark import run_benchmark
from llm.benchmark.data import data
from llm.benchmark.data.watch import watch

MIB = 1 << 20


@pytest.mark.runs
def test_every_job_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(data, "TOKENIZER_PROBLEMS", 200)
    run_benchmark.main(["data", "--records", "200"])
    outcome = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (outcome["benchmark"], outcome["records"]) == ("data", 200)
    assert [job["job"] for job in outcome["jobs"]] == [
        "check",
        "check with a tokenizer",
        "convert to math-shepherd",
        "convert from math-shepherd",
        "tokenize",
        "training, reading",
        "training, second start",
    ]
    for job in outcome["jobs"]:
        assert job["records_per_second"] == pytest.approx(200 / job["seconds"])
        assert job["records_per_cpu_second"] == pytest.approx(200 / job["cpu_seconds"])
        assert 0 < job["first_output"] <= job["seconds"], job
        assert job["peak_mb"] > 5, job


HOLDS_64_MIB = """
import time
held = bytearray(64 << 20)
held[::4096] = b"x" * len(held[::4096])
sum(range(4_000_000))
time.sleep(1)
"""


@pytest.mark.runs
def test_memory_and_time_of_all_processes_are_counted():
    """Two children, each with 64 MiB of its own and some work, and the one that waits for them."""
    parent = f"""
import subprocess, sys
children = [subprocess.Popen([sys.executable, "-c", {HOLDS_64_MIB!r}]) for _ in range(2)]
[child.wait() for child in children]
print("waited for both", flush=True)
"""
    found = watch([sys.executable, "-c", parent], ("waited for both",))
    alone = watch([sys.executable, "-c", HOLDS_64_MIB])
    assert 64 * MIB < alone.peak_bytes < 128 * MIB < found.peak_bytes < 2 * alone.peak_bytes + 64 * MIB
    assert found.cpu_seconds > 1.2 * alone.cpu_seconds
    seconds, cpu_seconds = found.at["waited for both"]
    assert seconds > 1 and found.cpu_seconds == pytest.approx(cpu_seconds, abs=0.2)


@pytest.mark.runs
def test_a_command_that_fails_or_does_not_say_what_is_waited_for_is_an_error():
    with pytest.raises(ValueError, match="(?s)exit code 3.*no such thing"):
        watch([sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"])
    with pytest.raises(ValueError, match="(?s)exit code 0.*something else"):
        watch([sys.executable, "-c", "print('something else')"], ("what is waited for",))
