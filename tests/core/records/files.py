"""Records of two steps, written to files and read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm.core.paths import REPOSITORY
from llm.core.records.records import BadRecords, ReadCounts, iter_records

GOOD = {
    "src": ["How many?"],
    "tgt": [],
    "responses": ["Step 1: two.", "Step 2: three."],
    "labels": ["+", "-"],
}
SAMPLE = REPOSITORY.parent / "shared" / "samples" / "paddlenlp" / "prm_dev.json"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def lines(*values: object) -> str:
    return "".join((v if isinstance(v, str) else json.dumps(v)) + "\n" for v in values)


def check_records(paths, **more) -> ReadCounts:
    counts = ReadCounts()
    for _ in iter_records(paths, counts=counts, **more):
        pass
    return counts


def problems(paths, **more) -> str:
    with pytest.raises(BadRecords) as caught:
        check_records(paths, **more)
    return str(caught.value)


def row(**changed) -> dict:
    return {key: value for key, value in {**GOOD, **changed}.items() if value != "absent"}
