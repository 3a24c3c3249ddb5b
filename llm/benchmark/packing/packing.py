"""Tokens that each packing computes for the same solutions."""

from __future__ import annotations

import argparse
import time

import numpy as np

from llm.benchmark import examples
from llm.benchmark.arguments import PADDED_BATCH
from llm.benchmark.report import SHARE, TEXT, TIMES, TWO, WHOLE, progress, show, table
from llm.core.rows.row import Row
from llm.core.rows.update_loader import StepLoader
from llm.core.text.encoding import Sequence

SEED = 42  # the order of rows in batches is that of a training run's first pass
REPETITIONS = 3
COLUMNS = {
    "packing": ("packing", TEXT),
    "rows": ("rows", WHOLE),
    "tokens": ("tokens", WHOLE),
    "computed": ("computed", WHOLE),
    "padding": ("padding", SHARE),
    "fill": ("fill", SHARE),
    "fewer": ("times fewer", TIMES),
    "seconds": ("seconds to pack", TWO),
}


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    solutions = examples.read(arguments)
    rows = measure(solutions.sequences, arguments.max_seq_len)
    show(
        "\n".join(solutions.about),
        table(COLUMNS, rows),
        f"padded: a batch of {PADDED_BATCH} solutions to its longest, shuffled as in training; the others: one "
        f"row at a time. seconds: the best of {REPETITIONS} repetitions, the packings taking turns.",
        outcome={
            "benchmark": "packing",
            "solutions": len(solutions.sequences),
            "solution_tokens": solutions.token_count,
            "max_seq_len": arguments.max_seq_len,
            "packings": {row["packing"]: {key: row[key] for key in COLUMNS if key != "packing"} for row in rows},
        },
    )


def measure(sequences: list[Sequence], max_seq_len: int) -> list[dict]:
    seconds = {packing: float("inf") for packing in examples.PACKINGS}
    rows = {}
    for repetition in range(REPETITIONS):
        progress(f"packing, repetition {repetition + 1} of {REPETITIONS}")
        for packing in examples.PACKINGS:
            begin = time.perf_counter()
            rows[packing] = examples.rows_of(sequences, packing, max_seq_len)
            seconds[packing] = min(seconds[packing], time.perf_counter() - begin)
    results = [figures(rows[packing], packing, max_seq_len) for packing in examples.PACKINGS]
    for result in results:
        result["seconds"] = seconds[result["packing"]]
        result["fewer"] = results[0]["computed"] / result["computed"]
    return results


def figures(rows: list[Row], packing: str, max_seq_len: int) -> dict:
    tokens, computed = sum(map(len, rows)), computed_tokens(rows, examples.rows_in_batch(packing))
    return {
        "packing": packing,
        "rows": len(rows),
        "tokens": tokens,
        "computed": computed,
        "padding": 1 - tokens / computed,
        # a row that holds one solution is not meant to be full
        "fill": None if packing == "padded" else tokens / (len(rows) * max_seq_len),
    }


def computed_tokens(rows: list[Row], batch: int) -> int:
    """With the padding to the longest row of each batch, in batches that training would form."""

    def count(some: list[Row]) -> dict[str, np.ndarray]:
        return {"tokens": np.array(len(some) * max(map(len, some)))}

    return sum(int(batch["tokens"]) for batch in StepLoader(rows, count, batch, seed=SEED))
