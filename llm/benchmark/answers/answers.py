"""Fine-tuning and training on pairs by this project and by TRL's SFTTrainer and DPOTrainer: the same tokens, sizes,
threads and updates."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llm.benchmark import model
from llm.benchmark.answers.workloads import WORKLOADS, Workload, groups_of
from llm.benchmark.arguments import PADDED_BATCH
from llm.benchmark.peer.peer import OURS, SILENT, compare, figures
from llm.benchmark.report import ONE, TEXT, TIMES, WHOLE, describe, show, table
from llm.benchmark.turns import Ours, left_out, take_turns
from llm.core.console import count_of

CHILD = [sys.executable, "-m", "llm.benchmark.answers.answers_run"]
PEER_SCRIPT = Path(__file__).with_name("answers_trl.py")
PRECISIONS = {"TRL, float32": {"bf16": False}, "TRL, bfloat16": {"bf16": True}}
MORE_OF_SFT = {", by length": {"train_sampling_strategy": "group_by_length"}, ", packed": {"packing": True}}
COLUMNS = {
    "trainer": ("trainer", TEXT),
    "solutions_per_second": ("answers or pairs/s", ONE),
    "computed": ("computed tokens", WHOLE),
    "seconds": ("seconds", ONE),
    "peak_megabytes": ("peak MB", WHOLE),
    "ratio": ("this project / it", TIMES),
    "verdict": ("goal", TEXT),
}


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    workload = WORKLOADS[arguments.workload]
    size = model.sizes(arguments, range(arguments.vocab_size))
    job, counted = job_of(workload, arguments, size)
    jobs = {way: job | {"settings": settings} for way, settings in ways_of_trl(workload, counted, arguments).items()}
    results = take_turns(Ours(OURS, CHILD, job), PEER_SCRIPT, jobs, arguments, set_here)
    rows = [figures(trainer, runs, counted) for trainer, runs in results.items()]
    ratios = compare(rows[0], rows[1:], arguments.goal)
    one, of_peer = results[OURS][0], results["TRL, float32"][0]
    what = "answer" if workload.task == "sft" else "pair"
    show(
        f"{arguments.prompts} prompts: {workload.about}; {count_of(counted, what)}\n"
        + describe(set_here | {"MKL_NUM_THREADS": str(arguments.threads)}),
        table(COLUMNS, rows),
        f"updates: {one['updates']}, of TRL {of_peer['updates']}; parameters: {one['parameters']:,}, of TRL "
        f"{of_peer['parameters']:,}. seconds: a pass after a warm-up, the best of {arguments.rounds} rounds in which "
        "the trainers take turns. Both ask the reference while they train. packed: on a CPU TRL's packed answers see "
        "each other, so it computes something else." + left_out(arguments),
        outcome={
            "benchmark": "answers",
            "workload": arguments.workload,
            "threads": arguments.threads,
            "sizes": size,
            "trainers": {row.pop("trainer"): row for row in rows},
            "ratio_to_fastest": min(ratios.values()),
            "goal": arguments.goal,
        },
    )


def job_of(workload: Workload, arguments: argparse.Namespace, size: dict[str, int]) -> tuple[dict, int]:
    """(what both sides train, answers or pairs in it)"""
    groups = groups_of(workload, arguments.prompts, size["vocab_size"])
    of_group = workload.answers if workload.task == "sft" else workload.answers * (workload.answers - 1) // 2
    job = {
        "task": workload.task,
        "updates": [groups[first : first + workload.of_update] for first in range(0, len(groups), workload.of_update)],
        "sizes": size,
        "max_seq_len": arguments.max_seq_len,
        "seconds": arguments.seconds,
        "threads": arguments.threads,
    }
    return job, of_group * len(groups)


def ways_of_trl(workload: Workload, counted: int, arguments: argparse.Namespace) -> dict[str, dict]:
    of_update = workload.of_update * counted // arguments.prompts
    common = {
        "use_cpu": True,
        "num_train_epochs": 1,
        "per_device_train_batch_size": PADDED_BATCH,
        "gradient_accumulation_steps": of_update // PADDED_BATCH,
        "max_length": arguments.max_seq_len,
        "activation_checkpointing": False,  # TRL turns it on, which computes all layers forward twice
        **SILENT,
    }
    ways = {name: common | settings for name, settings in PRECISIONS.items()}
    if workload.task == "dpo":
        return ways
    more = {name + kind: ways[name] | change for name in PRECISIONS for kind, change in MORE_OF_SFT.items()}
    return ways | more
