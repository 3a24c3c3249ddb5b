"""The forms in which a run saves: each with its processes and settings. Two updates, a checkpoint after each."""

from __future__ import annotations

from pathlib import Path

from tests import conftest, factories
from tests.runs import train_ranks

PREFERENCES = {"train_dataset_path": "pairs.jsonl", "dev_dataset_path": "dev_pairs.jsonl", "process_reward": False}
OWN, LORA = {"unified_checkpoint": False}, {"lora": True, "lora_rank": 2}
RECORDS = {"train.jsonl": 24, "dev.jsonl": 6, "pairs.jsonl": 12, "dev_pairs.jsonl": 4}
FORMS: dict[str, tuple[int, dict]] = {
    "full": (1, {}),
    "LoRA": (1, LORA),
    "lazy": (1, {"lazy": True}),
    "preferences": (1, PREFERENCES),
    ".pdparams": (1, OWN),
    "LoRA .pdparams": (1, OWN | LORA),
    "stage3": (2, {"sharding": "stage3", "per_device_train_batch_size": 2}),
}


def flags_of(base: Path, folder: Path, form: str, **changes) -> list[str]:
    """Of a run into folder/out with the data of base/tiny."""
    own = {name: base / "tiny" / value if "path" in name else value for name, value in FORMS[form][1].items()}
    short = {"max_steps": 2, "save_steps": 1, "eval_steps": 1, "logging_steps": 1, "load_best_model_at_end": False}
    return factories.six_updates(base / "tiny", folder, **short | {"save_total_limit": 2} | own | changes)


def run(base: Path, folder: Path, form: str, **changes) -> str:
    folder.mkdir(exist_ok=True)
    return train_ranks(flags_of(base, folder, form, **changes), folder, FORMS[form][0])


def make(base: Path, names: tuple[str, ...] = tuple(FORMS)) -> None:
    """base/tiny, and base/FORM/out of a run that was not disturbed."""
    (base / "tiny").mkdir(parents=True)
    conftest.make_tiny(base / "tiny")
    for name, lines in RECORDS.items():
        file = base / "tiny" / name
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:lines]))
    for form in names:
        run(base, base / form, form)
