"""Records and files of them for what is measured of data."""

from __future__ import annotations

import json
from pathlib import Path

from llm.core.records.reward_records import Preference, Record


def record(*labels: float | None, question: str = "How many?", steps: tuple[str, ...] = (), number: int = 1) -> Record:
    steps = steps or tuple(f"Step {index}" for index, _ in enumerate(labels, 1))
    return Record((question,), (), steps, labels, f"data.jsonl:{number}")


def preference(chosen: str, rejected: str, question: str = "How many?", number: int = 1) -> Preference:
    return Preference((question,), (), chosen, rejected, None, f"data.jsonl:{number}")


def measured(measure, *records):
    """The measure after all records, and what it said of each."""
    return measure, [measure.add(each, number) for number, each in enumerate(records)]


def kinds(measure) -> list[str]:
    return [finding.kind for finding in measure.findings()]


def line(question: str = "How many?", labels: object = ("+", "-"), **changes: object) -> str:
    steps = [f"Step {number}" for number in range(len(labels))]
    value = {"src": [question], "responses": steps, "labels": labels} | changes
    return json.dumps(value, ensure_ascii=False)


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return path
