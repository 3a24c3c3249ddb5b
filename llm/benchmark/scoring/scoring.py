"""The same solutions scored by this project and by a batched forward of transformers: the same sizes and threads."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from llm.benchmark import examples, model
from llm.benchmark.arguments import PADDED_BATCH
from llm.benchmark.report import ONE, TEXT, TIMES, TWO, WHOLE, describe, megabytes, show, table
from llm.benchmark.turns import Ours, left_out, take_turns
from llm.core.console import count_of

OURS = "this project"
CHILD = [sys.executable, "-m", "llm.benchmark.scoring.scoring_run"]
PEER_SCRIPT = Path(__file__).with_name("scoring_peer.py")
VARIANTS = {
    "transformers, float32": {"dtype": "float32", "by_length": False},
    "transformers, float32, by length": {"dtype": "float32", "by_length": True},
    "transformers, bfloat16": {"dtype": "bfloat16", "by_length": False},
    "transformers, bfloat16, by length": {"dtype": "bfloat16", "by_length": True},
}
QUESTION_TOKENS, STEP_TOKENS, STEPS = 300, 30, 8  # of made-up candidates
COLUMNS = {
    "scorer": ("scorer", TEXT),
    "solutions_per_second": ("solutions/s", ONE),
    "seconds": ("seconds", TWO),
    "computed": ("computed tokens", WHOLE),
    "first_seconds": ("until the first score", TWO),
    "peak_megabytes": ("peak MB", WHOLE),
    "ratio": ("this project / it", TIMES),
}


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    solutions, about, size = _workload(arguments)
    job = {"solutions": solutions, "sizes": size, "seconds": arguments.seconds, "threads": arguments.threads}
    jobs = {scorer: job | changes | {"batch": PADDED_BATCH} for scorer, changes in VARIANTS.items()}
    results = take_turns(Ours(OURS, CHILD, job), PEER_SCRIPT, jobs, arguments, set_here)
    rows = [figures(scorer, runs, len(solutions)) for scorer, runs in results.items()]
    for row in rows:
        row["ratio"] = row["seconds"] / rows[0]["seconds"]
    rows[0]["ratio"] = None
    fastest = min(row["ratio"] for row in rows[1:])
    worst = check_scores(results)
    show(
        "\n".join([*about, describe(set_here | {"MKL_NUM_THREADS": str(arguments.threads)})]),
        table(COLUMNS, rows),
        f"both have the same weights; the largest difference of a step's log-odds in float32 is {worst:.1e}. "
        f"seconds: a pass over token ids after a warm-up, the best of {arguments.rounds} rounds in which the scorers "
        f"take turns, each in a process of its own with {arguments.threads} threads. transformers: batches of "
        f"{PADDED_BATCH}, padded to their longest, in the order of the data or by length, the head at the scored "
        "positions alone. until the first score: from the start of the process, imports and a random model included."
        + left_out(arguments)
        + (f" goal: {arguments.goal:g} times the fastest of its ways; it is {fastest:.2f}." if arguments.goal else ""),
        outcome={
            "benchmark": "scoring",
            "solutions": len(solutions),
            "sizes": size,
            "threads": arguments.threads,
            "scorers": {row.pop("scorer"): row for row in rows},
            "ratio_to_fastest": fastest,
            "largest_difference": worst,
            "goal": arguments.goal,
        },
    )


def _workload(arguments: argparse.Namespace) -> tuple[list, list[str], dict[str, int]]:
    """([ids, scored positions, tokens of the prompt] of each solution, what they are, the model's sizes)"""
    if not arguments.candidates:
        given = examples.read(arguments)
        solutions = [[s.ids.tolist(), s.scored.tolist(), s.prompt_len] for s in given.sequences]
        return solutions, given.about, model.sizes(arguments, given.tokenizer)
    solutions = candidates(arguments.candidates, arguments.vocab_size)
    about = [
        f"{count_of(len(solutions), 'candidate')} of one question of {QUESTION_TOKENS} tokens, {STEPS} steps of "
        f"{STEP_TOKENS} tokens each; every two of them have half of their steps in common"
    ]
    return solutions, about, model.sizes(arguments, range(arguments.vocab_size))


def candidates(count: int, vocabulary: int) -> list:
    """Random tokens; candidates 2n and 2n + 1 begin with the same half of their steps."""
    draw = np.random.default_rng(0)
    question = draw.integers(3, vocabulary, QUESTION_TOKENS).tolist()
    found: list = []
    for number in range(count):
        steps = draw.integers(3, vocabulary, STEPS * STEP_TOKENS).tolist()
        if number % 2:
            half = STEPS * STEP_TOKENS // 2
            steps[:half] = found[-1][0][QUESTION_TOKENS : QUESTION_TOKENS + half]
        scored = [QUESTION_TOKENS + STEP_TOKENS * (step + 1) - 1 for step in range(STEPS)]
        found.append([question + steps, scored, QUESTION_TOKENS])
    return found


def check_scores(results: dict[str, list[dict]]) -> float:
    """The largest difference to transformers in float32, over all scored positions."""
    own = np.concatenate([np.array(scores) for scores in results[OURS][0]["log_odds"]])
    return max(
        float(np.abs(own - np.concatenate([np.array(scores) for scores in runs[0]["log_odds"]])).max())
        for scorer, runs in results.items()
        if "float32" in scorer
    )


def figures(scorer: str, runs: list[dict], solutions: int) -> dict:
    best = min(runs, key=lambda run: run["seconds"])
    return {
        "scorer": scorer,
        "solutions_per_second": solutions / best["seconds"],
        "seconds": best["seconds"],
        "seconds_of_rounds": [run["seconds"] for run in runs],
        "computed": best["computed"],
        "first_seconds": min(run["first_seconds"] for run in runs),
        "peak_megabytes": megabytes(max(run["peak_bytes"] or 0 for run in runs) or None),
    }
