"""Time and memory of training on one long row, by its length."""

from __future__ import annotations

import argparse

import numpy as np

from llm.benchmark import children, model
from llm.benchmark.report import ONE, WHOLE, describe, megabytes, progress, show, table
from llm.benchmark.training.training import CHILD
from llm.core.console import count_of

STEP_TOKENS, PROMPT_TOKENS = 64, 64  # of the one solution that fills a row
TOKENS = (1, 2, 3)  # placeholder, "+", "-"
COLUMNS = {
    "length": ("tokens", WHOLE),
    "solutions": ("solutions", WHOLE),
    "pairs": ("pairs", WHOLE),
    "seconds": ("seconds", ONE),
    "tokens_per_second": ("tokens/s", WHOLE),
    "peak_megabytes": ("peak MB", WHOLE),
    "more_megabytes": ("MB per 1,000 tokens more", ONE),
}


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    longest = max(arguments.lengths)
    size = model.sizes(arguments, range(arguments.vocab_size), max_position_embeddings=longest)
    rows = [row for count in arguments.solutions for row in measured(arguments.lengths, size, count)]
    show(
        describe(set_here),
        table(COLUMNS, rows),
        "seconds: an update on one row (forward, backward, AdamW) after one that touches the memory, each length in a "
        "process of its own. pairs: queries and keys that attend, in one head of one layer. MB per 1,000 tokens more: "
        "how much more than the shorter row above it takes; where memory grows linearly it stays the same.",
        outcome={"benchmark": "length", "sizes": size, "rows": rows},
    )


def measured(lengths: list[int], size: dict[str, int], count: int) -> list[dict]:
    rows: list[dict] = []
    for length in lengths:
        progress(f"{length:,} tokens, {count_of(count, 'solution')}")
        each = length // count
        if each < PROMPT_TOKENS + STEP_TOKENS:
            raise ValueError(
                f"--lengths {length} --solutions {count}: a solution would have {each} tokens; it needs a prompt and a "
                f"step, {PROMPT_TOKENS + STEP_TOKENS} tokens."
            )
        job = {
            "updates": [[solution(each, number, size["vocab_size"]) for number in range(count)]],
            "packing": "greedy",
            "tokens": TOKENS,
            "sizes": size,
            "max_seq_len": length,
            "seconds": 0.0,
        }
        result = children.run(CHILD, job)
        row = {
            "length": result["computed"],
            "solutions": count,
            "pairs": count * each * (each + 1) // 2,
            "seconds": result["seconds"],
            "tokens_per_second": result["computed"] / result["seconds"],
            "peak_megabytes": megabytes(result["peak_bytes"]),
            "more_megabytes": None,
        }
        if rows and row["peak_megabytes"]:
            more = row["peak_megabytes"] - rows[-1]["peak_megabytes"]
            row["more_megabytes"] = 1000 * more / (row["length"] - rows[-1]["length"])
        rows.append(row)
    return rows


def solution(length: int, seed: int, vocabulary: int) -> list:
    """[ids, scored positions, labels, tokens of the prompt] of random tokens."""
    draw = np.random.default_rng(seed)
    scored = list(range(PROMPT_TOKENS + STEP_TOKENS - 1, length, STEP_TOKENS))
    labels = draw.integers(0, 2, len(scored)).tolist()
    return [draw.integers(max(TOKENS) + 1, vocabulary, length).tolist(), scored, labels, PROMPT_TOKENS]
