"""TRL's side of `python -m llm benchmark peer`: its PRMTrainer on the solutions of a job.

Started by its path in an environment of TRL's own, so it imports nothing of this project. The job comes from stdin as
JSON; what was measured is one JSON line. Tokenising, separator, truncation, padding and optimiser are TRL's.
"""

import json
import re
import sys
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForTokenClassification, PreTrainedTokenizerFast, TrainerCallback
from trl import PRMConfig, PRMTrainer

WARM_UP = 2  # batches of the longest solutions: memory is first touched in them


class Clock(TrainerCallback):
    """From the first batch to the end of the last update."""

    def on_train_begin(self, *_, **__):
        self.begin = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds = time.perf_counter() - self.begin


class Counted:
    """The trainer's own collator, and how many tokens it made, padding included."""

    def __init__(self, collator):
        self.collator = collator
        self.computed = 0

    def __call__(self, features):
        batch = self.collator(features)
        self.computed += batch["input_ids"].numel()
        return batch


def measure(job: dict) -> dict:
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    model = LlamaForTokenClassification(LlamaConfig(**job["sizes"], num_labels=2, use_cache=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(job["tokenizer"]), **job["special_tokens"])
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = PRMTrainer(
            model=model,
            args=PRMConfig(output_dir=folder, **job["settings"]),
            train_dataset=Dataset.from_list(job["solutions"]),
            processing_class=tokenizer,
            callbacks=[clock],
        )
        solutions = trainer.train_dataset
        lengths = [len(ids) for ids in solutions["input_ids"]]
        longest = sorted(range(len(lengths)), key=lengths.__getitem__)[-WARM_UP * trainer.args.train_batch_size :]
        trainer.train_dataset = solutions.select(longest)
        trainer.train()
        trainer.train_dataset = solutions
        trainer.data_collator = counted = Counted(trainer.data_collator)
        trainer.train()
    return {
        "seconds": clock.seconds,
        "updates": trainer.state.global_step,
        "tokens": sum(lengths),
        "computed": counted.computed,
        "labels": sum(label != -100 for labels in solutions["labels"] for label in labels),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "peak_bytes": peak_bytes(),
    }


def peak_bytes() -> int | None:
    """As llm/benchmark/children.py has it."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) * 1024 if found else None


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
