"""Simulated solutions packed into forests, in a process of its own: the job of forests.py from stdin as JSON, what was
measured as one JSON line. No paddle here."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from llm.benchmark.children import peak_bytes, resident_bytes
from llm.core.rows.packing import choose_packing
from llm.core.rows.prefix_tree import grow_trees
from llm.core.rows.row_store import StoredRows, write_rows
from llm.core.text.encoding import Sequence

OF_QUESTION, QUESTION_TOKENS, STEP_TOKENS, STEPS = 8, 60, 18, (3, 9)  # solutions, tokens, tokens, fewest and one more
VOCABULARY = 32000


def measure(job: dict) -> dict:
    before = resident_bytes() or 0
    begin = time.process_time()
    solutions = list(simulated(job["solutions"]))
    made = time.process_time()
    held = resident_bytes() or 0
    tokens, labels = sum(map(len, solutions)), sum(len(one.scored) for one in solutions)
    pack = choose_packing(zero_padding=True, greedy_zero_padding=True, stream=False)
    rows = list(pack(grow_trees(solutions, job["max_seq_len"], True), job["max_seq_len"]))
    packed = time.process_time()
    peak = peak_bytes()
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder) / "rows", rows)
        stored = StoredRows(Path(folder) / "rows")
        assert sum(len(row) for row in stored) == sum(map(len, rows))
        bytes_on_disk = stored.path.stat().st_size
    return {
        "tokens": tokens,
        "labels": labels,
        "computed": sum(map(len, rows)),
        "rows": len(rows),
        "made_seconds": made - begin,
        "seconds": packed - made,
        "held_bytes": held - before,
        "disk_bytes": bytes_on_disk,
        "peak_bytes": peak,
    }


def simulated(count: int) -> Iterator[Sequence]:
    """Eight solutions to each question, three to eight steps of random tokens. All begin with the question, and every
    second one with the first step of the one before, too."""
    draw = np.random.default_rng(0)
    for first in range(0, count, OF_QUESTION):
        question = draw.integers(0, VOCABULARY, QUESTION_TOKENS, dtype="int32")
        earlier = question
        for number in range(min(OF_QUESTION, count - first)):
            steps = int(draw.integers(*STEPS))
            ids = np.concatenate([question, draw.integers(0, VOCABULARY, steps * STEP_TOKENS, dtype="int32")])
            if number % 2:  # begins as the one before
                common = QUESTION_TOKENS + STEP_TOKENS
                ids[:common] = earlier[:common]
            earlier = ids
            scored = QUESTION_TOKENS + STEP_TOKENS * np.arange(1, steps + 1) - 1
            yield Sequence(ids, scored, (draw.random(steps) < 0.6).astype("float32"), QUESTION_TOKENS)


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
