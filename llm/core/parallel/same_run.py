"""Checks that all processes belong to one run: the same data and settings, the same checkpoint, one output folder."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path

import paddle.distributed as dist

from llm.core.parallel import ranks
from llm.core.parallel.ranks import from_all_ranks

# what may differ between the processes of a run
OWN = (
    "device",
    "disable_tqdm",
    "logging_dir",
    "report_to",
    "model_name_or_path",
    "tokenizer_name_or_path",
    "reference_model_name_or_path",
    "reference_logprobs",
    "verbose",
    "train_dataset_path",
    "dev_dataset_path",
    "test_dataset_dir",
)


def check(output_dir: Path, checkpoint: Path | None, identity: dict, held_out: str | None, settings: dict) -> None:
    """ValueError on every rank where one of them differs: nodes that read copies of their own, or write to their own
    disks, would train and save something that belongs to no run."""
    if ranks.count() == 1:
        return
    facts = {name: settings[name] for name in settings if name not in OWN}
    facts |= {**identity, "held-out data": held_out, "checkpoint to resume from": checkpoint and str(checkpoint)}
    everyone = from_all_ranks(facts)
    problems = [_difference(name, [facts[name] for facts in everyone]) for name in facts]
    token = from_all_ranks(f"{ranks.SEEN_BY_ALL}{uuid.uuid4().hex}")[0]
    mark = output_dir / token
    if ranks.rank() == 0:
        for left in output_dir.glob(f"{ranks.SEEN_BY_ALL}*"):  # by a run that was killed here
            left.unlink()
        mark.touch()
    dist.barrier()
    blind = [str(rank) for rank, sees in enumerate(from_all_ranks(mark.exists())) if not sees]
    if ranks.rank() == 0:
        mark.unlink()
    if blind:
        problems.append(
            f"output_dir: ranks {', '.join(blind)} do not see what rank 0 writes to {output_dir}; give a folder on a "
            "disk that all nodes share"
        )
    if problems := [problem for problem in problems if problem]:
        raise ValueError("the processes do not belong to one run:\n  " + "\n  ".join(problems))


def _difference(name: str, values: list) -> str:
    """What the ranks differ in, or nothing."""
    usual, count = Counter(map(repr, values)).most_common(1)[0]
    if count == len(values):
        return ""
    others = [f"{value!r} on rank {rank}" for rank, value in enumerate(values) if repr(value) != usual]
    return f"{name}: {usual} on most ranks, {', '.join(others)}; give all nodes the same files and settings"
