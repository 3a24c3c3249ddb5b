"""The forms in which a run saves: each with its processes and settings. Two updates, a checkpoint after each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from llm.alignment.rm.flashmask.run_reward import main as reward
from llm.finetune.run_finetune import main as finetune
from tests import conftest, factories
from tests.runs import train_ranks

PREFERENCES = {"train_dataset_path": "pairs.jsonl", "dev_dataset_path": "dev_pairs.jsonl", "process_reward": False}
OWN, LORA = {"unified_checkpoint": False}, {"lora": True, "lora_rank": 2}
RECORDS = {"train.jsonl": 24, "dev.jsonl": 6, "pairs.jsonl": 12, "dev_pairs.jsonl": 4}
ANSWERS = {"train_dataset_path": "answers.jsonl", "dev_dataset_path": "dev_answers.jsonl"}


class Form(NamedTuple):
    settings: dict
    ranks: int = 1
    script: Callable = reward


FORMS = {
    "full": Form({}),
    "LoRA": Form(LORA),
    "lazy": Form({"lazy": True}),
    "preferences": Form(PREFERENCES),
    ".pdparams": Form(OWN),
    "LoRA .pdparams": Form(OWN | LORA),
    "stage3": Form({"sharding": "stage3"}, ranks=2),
    "fine-tuning": Form(ANSWERS, script=finetune),
}


def flags_of(base: Path, folder: Path, form: str, **changes) -> list[str]:
    """Of a run into folder/out with the data of base/tiny."""
    own = {name: base / "tiny" / value if "path" in name else value for name, value in FORMS[form].settings.items()}
    short = {"max_steps": 2, "save_steps": 1, "eval_steps": 1, "logging_steps": 1, "load_best_model_at_end": False}
    short |= {"save_total_limit": 2, "gradient_accumulation_steps": 1, "per_device_train_batch_size": 2}
    return factories.six_updates(base / "tiny", folder, **short | own | changes)


def run(base: Path, folder: Path, form: str, **changes) -> str:
    folder.mkdir(exist_ok=True)
    return train_ranks(flags_of(base, folder, form, **changes), folder, FORMS[form].ranks, FORMS[form].script)


def answer_to(record: dict) -> dict:
    return {"prompt": record["src"][0] + "\n", "response": "\n".join(record["responses"])}


def make(base: Path, names: tuple[str, ...] = tuple(FORMS)) -> None:
    """base/tiny, and base/FORM/out of a run that was not disturbed."""
    (base / "tiny").mkdir(parents=True)
    conftest.make_tiny(base / "tiny")
    for name, lines in RECORDS.items():
        file = base / "tiny" / name
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:lines]))
    for name, records in (("answers.jsonl", "train.jsonl"), ("dev_answers.jsonl", "dev.jsonl")):
        answers = map(answer_to, factories.read_lines(base / "tiny" / records))
        (base / "tiny" / name).write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    for form in names:
        run(base, base / form, form)
