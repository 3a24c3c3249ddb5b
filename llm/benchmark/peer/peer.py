"""The same solutions through this project and through TRL's PRMTrainer: the same sizes, threads and updates."""

from __future__ import annotations

import argparse
from itertools import zip_longest
from pathlib import Path

from llm.benchmark import examples, model
from llm.benchmark.arguments import PADDED_BATCH
from llm.benchmark.peer.fast_tokenizer import special_tokens, tokenizer_json
from llm.benchmark.report import ONE, SHARE, TEXT, TIMES, WHOLE, describe, megabytes, show, table
from llm.benchmark.training.training import CHILD, describe_model
from llm.benchmark.training.training_run import job_of
from llm.benchmark.turns import Ours, left_out, take_turns
from llm.core.console import count_of

PEER_SCRIPT = Path(__file__).with_name("peer_trl.py")
OURS, DEFAULT = "this project, forest", "TRL, bfloat16"
# PRMConfig trains in bfloat16 by default, on a CPU as well; this project trains in float32 there.
VARIANTS = {
    DEFAULT: {},
    "TRL, bfloat16, by length": {"group_by_length": True},
    "TRL, float32": {"bf16": False},
    "TRL, float32, by length": {"bf16": False, "group_by_length": True},
}
SILENT = {"logging_strategy": "no", "save_strategy": "no", "report_to": "none", "disable_tqdm": True}
COLUMNS = {
    "trainer": ("trainer", TEXT),
    "solutions_per_second": ("solutions/s", ONE),
    "tokens_per_second": ("computed tokens/s", WHOLE),
    "tokens": ("tokens", WHOLE),
    "computed": ("computed tokens", WHOLE),
    "seconds": ("seconds", ONE),
    "floor_share": ("floor/seconds", SHARE),
    "peak_megabytes": ("peak MB", WHOLE),
    "ratio": ("this project / it", TIMES),
    "verdict": ("goal", TEXT),
}


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    solutions = examples.read(arguments)
    size = model.sizes(arguments, solutions.tokenizer)
    ours = job_of(solutions, size, arguments.update, arguments.max_seq_len, arguments.seconds) | {
        "packing": "forest",
        "profile": True,
    }
    results = run_rounds(ours, peer_job(arguments, solutions, size), arguments, set_here)
    rows = [figures(trainer, runs, len(solutions.sequences)) for trainer, runs in results.items()]
    rows[0]["tokens"] = solutions.token_count
    rate = max(run["matrix_rate"] for run in results[OURS])
    rows[0]["floor_share"] = results[OURS][0]["multiply_adds"] / rate / rows[0]["seconds"]
    ratios = compare(rows[0], rows[1:], arguments.goal)
    one, peer = (runs[0] for runs in list(results.values())[:2])
    cpu_settings = set_here | {"MKL_NUM_THREADS": str(arguments.threads)}
    show(
        "\n".join([*solutions.about, describe(cpu_settings), *describe_model(one, size)]),
        table(COLUMNS, rows),
        f"an update has {arguments.update} solutions; updates: {one['updates']}, of TRL {peer['updates']}; labels: "
        f"{solutions.label_count:,}, of TRL {peer['labels']:,}; parameters: {one['parameters']:,}, of TRL "
        f"{peer['parameters']:,}. TRL trains in bfloat16 by default. seconds: a pass over the "
        f"solutions after a warm-up, the best of {arguments.rounds} rounds in which the trainers take turns, each in a "
        f"process of its own with {arguments.threads} threads."
        + left_out(arguments)
        + (f" goal: this project {arguments.goal:g} times as fast." if arguments.goal else ""),
        outcome={
            "benchmark": "peer",
            "solutions": len(solutions.sequences),
            "updates": one["updates"],
            "threads": arguments.threads,
            "sizes": size,
            "trainers": {row["trainer"]: {k: v for k, v in row.items() if k != "trainer"} for row in rows},
            "ratio_to_default": ratios.get(DEFAULT),
            "ratio_to_fastest_float32": min(ratio for name, ratio in ratios.items() if "float32" in name),
            "ratio_to_fastest": min(ratios.values()),
            "goal": arguments.goal,
        },
    )


def compare(ours: dict, peers: list[dict], goal: float | None) -> dict[str, float]:
    """Writes into the rows their ratios to each other; {way of TRL: ratio}."""
    ours |= {"ratio": None, "verdict": None}
    for row in peers:
        row["ratio"] = row["seconds"] / ours["seconds"]
        row["verdict"] = ("reached" if row["ratio"] >= goal else "not reached") if goal else None
    return {row["trainer"]: row["ratio"] for row in peers}


def peer_job(arguments: argparse.Namespace, solutions: examples.Solutions, size: dict[str, int]) -> dict:
    if unlabelled := sum(None in record.labels for record in solutions.records):
        raise ValueError(f"{count_of(unlabelled, 'solution')} lack the label of a step, and TRL needs all of them.")
    return {
        "threads": arguments.threads,
        "sizes": size,
        "tokenizer": tokenizer_json(solutions.tokenizer, arguments.tokenizer),
        "special_tokens": special_tokens(solutions.tokenizer),
        "solutions": [
            {
                "prompt": "\n".join(turn for pair in zip_longest(record.src, record.tgt) for turn in pair if turn),
                "completions": list(record.steps),
                "labels": [label > 0.5 for label in record.labels],
            }
            for record in solutions.records
        ],
        "settings": {
            "use_cpu": True,
            "num_train_epochs": 1,
            "per_device_train_batch_size": PADDED_BATCH,
            "gradient_accumulation_steps": arguments.update // PADDED_BATCH,
            "max_length": arguments.max_seq_len,
            "max_prompt_length": examples.prompt_limit(arguments),
            **SILENT,
        },
    }


def run_rounds(ours: dict, peers: dict, arguments, set_here: dict[str, str]) -> dict[str, list[dict]]:
    jobs = {trainer: peers | {"settings": peers["settings"] | changes} for trainer, changes in VARIANTS.items()}
    return take_turns(Ours(OURS, CHILD, ours), PEER_SCRIPT, jobs, arguments, set_here)


def figures(trainer: str, runs: list[dict], solutions: int) -> dict:
    best = min(runs, key=lambda run: run["seconds"])
    return {
        "trainer": trainer,
        "solutions_per_second": solutions / best["seconds"],
        "tokens_per_second": best["computed"] / best["seconds"],
        "tokens": best.get("tokens"),
        "computed": best["computed"],
        "seconds": best["seconds"],
        "floor_share": None,
        "seconds_of_rounds": [run["seconds"] for run in runs],
        "peak_megabytes": megabytes(max(run["peak_bytes"] or 0 for run in runs) or None),
    }
