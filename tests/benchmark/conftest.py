"""Measurements without the start of a process, which takes many times as long as a small one."""

from __future__ import annotations

import json
import sys
from importlib import import_module

import pytest

from llm.benchmark import children


def measured_here(command: list[str], job: dict, environment: dict[str, str] | None = None) -> dict:
    """Through JSON as between processes."""
    python, flag, module = command
    assert (python, flag) == (sys.executable, "-m")
    return json.loads(json.dumps(import_module(module).measure(json.loads(json.dumps(job)))))


@pytest.fixture
def in_this_process(monkeypatch) -> list[dict]:
    """Jobs are measured here; the list of them."""
    jobs: list[dict] = []

    def run(command, job, environment=None):
        jobs.append(job)
        return measured_here(command, job)

    monkeypatch.setattr(children, "run", run)
    return jobs


@pytest.fixture
def first_in_a_process(monkeypatch) -> None:
    """The first job is measured in a process of its own, the others here."""
    ways = iter([children.run])
    monkeypatch.setattr(children, "run", lambda *job: next(ways, measured_here)(*job))
