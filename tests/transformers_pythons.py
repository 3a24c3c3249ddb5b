"""Python of other environments, with transformers and torch, that tests ask for what transformers makes of a folder.
LLM_TRANSFORMERS_PYTHONS names them (`make test-peer`)."""

import json
import os
import subprocess
from pathlib import Path

import pytest

PYTHONS = os.environ.get("LLM_TRANSFORMERS_PYTHONS", "").split()
MARKS = [
    pytest.mark.runs,
    pytest.mark.skipif(
        not PYTHONS, reason="LLM_TRANSFORMERS_PYTHONS names no Python with transformers (make test-peer)"
    ),
]
EVERY_PYTHON = pytest.mark.parametrize("number", range(max(len(PYTHONS), 1)))


def answer_of(python: str, script: Path, jobs: list[dict]) -> dict:
    """What the script prints last, of the jobs that it gets as JSON."""
    done = subprocess.run(
        [python, "-I", str(script)],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        timeout=600,
        env={name: value for name, value in os.environ.items() if not name.startswith("HF_")} | {"HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])
