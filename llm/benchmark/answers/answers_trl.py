"""TRL's side of `python -m llm benchmark answers`: its SFTTrainer or DPOTrainer on the texts of a job.

Started by its path in an environment of TRL's own, so it imports nothing of this project. The job comes from stdin as
JSON; what was measured is one JSON line. Each word of the texts is one token, so both sides have the same tokens; the
end token, which this project's answers have, is added by TRL or written here.
"""

import copy
import json
import re
import sys
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]  # ids 0 to 3
WARM_UP = 16  # of the longest rows: memory is first touched in them


class Clock(TrainerCallback):
    """From the first batch to the end of the last update."""

    def on_train_begin(self, *_, **__):
        self.begin = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds = time.perf_counter() - self.begin


class Counted:
    """The trainer's own collator, and how many tokens the model computes of its batches, padding included."""

    def __init__(self, collator):
        self.collator = collator
        self.computed = 0

    def __call__(self, features):
        batch = self.collator(features)
        self.computed += batch["input_ids"].numel()
        return batch


def make_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    words = {word: number for number, word in enumerate(SPECIAL)} | {f"w{n}": n for n in range(4, vocabulary)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def rows_of(job: dict) -> list[dict]:
    def text(ids: list[int]) -> str:
        return " ".join(f"w{number}" for number in ids)

    rows = []
    for prompt, answers in (group for groups in job["updates"] for group in groups):
        texts = [text(ids[:-1]) for ids in answers]  # TRL writes the end token itself
        if job["task"] == "sft":
            rows += [{"prompt": text(prompt) + " ", "completion": answer} for answer in texts]
        else:
            rows += [
                {"prompt": text(prompt) + " ", "chosen": better, "rejected": worse}
                for place, better in enumerate(texts)
                for worse in texts[place + 1 :]
            ]
    return rows


def measure(job: dict) -> dict:
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**job["sizes"], use_cache=False, tie_word_embeddings=True))
    trainer_of, config_of = (SFTTrainer, SFTConfig) if job["task"] == "sft" else (DPOTrainer, DPOConfig)
    # its own copy of a model that comes from no folder fails: it looks for the folder
    reference = {"ref_model": copy.deepcopy(model)} if job["task"] == "dpo" else {}
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(
            model=model,
            args=config_of(output_dir=folder, **job["settings"]),
            train_dataset=Dataset.from_list(rows_of(job)),
            processing_class=make_tokenizer(job["sizes"]["vocab_size"]),
            callbacks=[clock],
            **reference,
        )
        rows = trainer.train_dataset
        columns = [name for name in rows.column_names if name.endswith("_ids")]
        lengths = [sum(len(row[name]) for name in columns) for row in rows]
        trainer.train_dataset = rows.select(sorted(range(len(rows)), key=lengths.__getitem__)[-WARM_UP:])
        trainer.train()
        trainer.train_dataset = rows
        trainer.data_collator = counted = Counted(trainer.data_collator)
        trainer.train()
    return {
        "seconds": clock.seconds,
        "updates": trainer.state.global_step,
        "rows": len(rows),
        "computed": counted.computed,
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
