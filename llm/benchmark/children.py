"""Measurements in processes of their own: a job goes in as JSON, the last line of what comes out is the result."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from llm.core.paths import REPOSITORY


def run(command: list[str], job: dict, environment: dict[str, str] | None = None) -> dict:
    """What the process writes to stderr goes to ours."""
    environment = dict(os.environ) if environment is None else environment
    done = subprocess.run(
        command, input=json.dumps(job), stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=environment
    )
    if done.returncode:
        raise ValueError(
            f"{' '.join(command)} ended with exit code {done.returncode}; its output is above. "
            "-9 means that memory ran out: choose a smaller model, batch or max_seq_len."
        )
    return json.loads(done.stdout.splitlines()[-1])


def peak_bytes() -> int | None:
    """The most memory that this process has had. getrusage would begin with that of the process that started it."""
    return _memory("VmHWM")


def resident_bytes() -> int | None:
    return _memory("VmRSS")


def _memory(name: str) -> int | None:
    status = Path("/proc/self/status")  # Linux
    found = re.search(rf"{name}:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) * 1024 if found else None
