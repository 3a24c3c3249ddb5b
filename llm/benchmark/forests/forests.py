"""Time and memory of packing solutions into forests, by how many there are."""

from __future__ import annotations

import argparse
import sys

from llm.benchmark import children
from llm.benchmark.report import ONE, TIMES, TWO, WHOLE, megabytes, progress, show, table

CHILD = [sys.executable, "-m", "llm.benchmark.forests.forests_run"]
COLUMNS = {
    "solutions": ("solutions", WHOLE),
    "tokens": ("tokens", WHOLE),
    "shared": ("shared", TIMES),
    "seconds": ("CPU seconds", TWO),
    "microseconds": ("us a solution", ONE),
    "held": ("bytes a solution", WHOLE),
    "peak_megabytes": ("peak MB", WHOLE),
    "disk": ("cached bytes a solution", WHOLE),
}


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    rows = [measured(count, arguments.max_seq_len) for count in arguments.solutions]
    show(
        table(COLUMNS, rows),
        f"simulated: eight solutions to each question; rows of at most {arguments.max_seq_len:,} tokens. CPU seconds: "
        "prefix trees and greedy packing, in one process; shared: tokens / tokens computed. bytes a solution: what "
        "the encoded solutions take in memory before they are packed; cached: what their rows take on disk with "
        "cache_dir, where training maps them into memory.",
        outcome={"benchmark": "forests", "max_seq_len": arguments.max_seq_len, "rows": rows},
    )


def measured(count: int, max_seq_len: int) -> dict:
    progress(f"{count:,} solutions")
    result = children.run(CHILD, {"solutions": count, "max_seq_len": max_seq_len})
    return {
        "solutions": count,
        "tokens": result["tokens"],
        "shared": result["tokens"] / result["computed"],
        "seconds": result["seconds"],
        "microseconds": 1e6 * result["seconds"] / count,
        "held": result["held_bytes"] / count,
        "peak_megabytes": megabytes(result["peak_bytes"]),
        "disk": result["disk_bytes"] / count,
    }
