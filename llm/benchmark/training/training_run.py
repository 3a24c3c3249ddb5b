"""One measurement of training, in a process of its own: the job of training.py from stdin as JSON, what
was measured as one JSON line."""

from __future__ import annotations

from llm.core.cpu import environment

if __name__ == "__main__":
    environment.prepare()

import json
import math
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import paddle

from llm.alignment.rm.flashmask.reward_objective import MODEL_INPUTS
from llm.benchmark import examples
from llm.benchmark.children import peak_bytes
from llm.benchmark.model import matrix_rate, multiply_adds, random_reward_model
from llm.benchmark.packing.packing import computed_tokens
from llm.benchmark.training import profile
from llm.core import patches
from llm.core.cpu.kernels.build import kernels
from llm.core.model.adapters import lora
from llm.core.model.head.losses import reward_cross_entropy
from llm.core.rows.batch import collate
from llm.core.rows.update_loader import StepLoader
from llm.core.text.encoding import Sequence
from llm.core.text.reward_tokens import RewardTokens
from llm.core.train.fused_adamw import fuse
from llm.core.train.gradient_clip import ExactClip


def job_of(solutions: examples.Solutions, size: dict, per_update: int, max_seq_len: int, seconds: float) -> dict:
    """Everything but the packing, and whether all weights train or adapters."""
    tokens = solutions.tokens
    encoded = [[s.ids.tolist(), s.scored.tolist(), s.labels.tolist(), s.prompt_len] for s in solutions.sequences]
    return {
        "updates": examples.updates_of(encoded, per_update),
        "tokens": [tokens.placeholder, tokens.positive, tokens.negative],
        "sizes": size,
        "max_seq_len": max_seq_len,
        "seconds": seconds,
    }


def measure(job: dict) -> dict:
    patches.apply_to_library()
    paddle.set_device("cpu")
    tokens = RewardTokens(*job["tokens"])
    model, attention = random_reward_model(job["sizes"], tokens)
    rank = job.get("lora_rank")
    if rank:
        model = lora.attach(model, tokens, base="random", rank=rank, alpha=2 * rank)
    optimizer = optimizer_of(model)
    updates = [examples.rows_of(sequences_of(update), job["packing"], job["max_seq_len"]) for update in job["updates"]]
    loaders = [loader_of(rows, examples.rows_in_batch(job["packing"])) for rows in updates]
    first_loss, passes, seconds = timed_passes(loaders, partial(run_update, model, optimizer), job["seconds"])
    computed = [computed_tokens(rows, examples.rows_in_batch(job["packing"])) for rows in updates]
    result = {
        "seconds": seconds / passes,
        "passes": passes,
        "updates": len(updates),
        "computed": sum(computed),
        "multiply_adds": sum(map(partial(multiply_adds, job["sizes"], lora_rank=rank), updates, computed)),
        "first_loss": first_loss,
        "parameters": sum(parameter.size for parameter in model.parameters()),
        "trained": sum(parameter.size for parameter in model.parameters() if not parameter.stop_gradient),
        "peak_bytes": peak_bytes(),
        "attention": attention,
    }
    if job.get("profile"):
        result["parts"] = profile.parts(lambda: run_update(model, optimizer, loaders[0]), kernels()[0] is not None)
        result["matrix_rate"] = matrix_rate(job["sizes"], job["max_seq_len"])
    return result


def timed_passes(
    loaders: list[StepLoader], run: Callable[[StepLoader], float], least: float
) -> tuple[float, int, float]:
    """(loss of the first update, passes over all updates, their seconds: at least `least`)"""
    first_loss, *_ = map(run, loaders)  # a pass in which memory is touched
    passes, begin, seconds = 0, time.perf_counter(), 0.0
    while not passes or seconds < least:
        for loader in loaders:
            run(loader)
        passes, seconds = passes + 1, time.perf_counter() - begin
    return first_loss, passes, seconds


def sequences_of(update: list) -> list[Sequence]:
    return [
        Sequence(np.array(ids, "int32"), np.array(scored, "int64"), np.array(labels, "float32"), prompt_len)
        for ids, scored, labels, prompt_len in update
    ]


def loader_of(rows: list, batch: int) -> StepLoader:
    """All rows as one update."""
    return StepLoader(rows, partial(collate, pad_id=0), batch, accumulation=-(-len(rows) // batch), seed=0)


def run_update(model, optimizer, loader: StepLoader) -> float:
    """As the trainer does one; the loss."""
    total = 0.0
    for batch in loader:
        logits_M2 = model(**{name: batch[name] for name in MODEL_INPUTS}).gather(batch["label_at"])
        loss = (batch["weights"] * reward_cross_entropy(logits_M2, batch["targets"])).sum() / batch["step_weight"]
        loss.backward()
        total += float(loss)
    make_update(optimizer)
    return total


def optimizer_of(model) -> paddle.optimizer.AdamW:
    """As the trainer makes it."""
    optimizer = paddle.optimizer.AdamW(1e-5, parameters=model.parameters())
    fuse(optimizer, ExactClip(1.0, copies=lambda parameter: 1, settle=math.sqrt))
    return optimizer


def make_update(optimizer: paddle.optimizer.AdamW) -> None:
    """As the trainer makes it of the gradients, in a single process."""
    optimizer.step()
    optimizer.clear_grad(set_to_zero=False)


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
