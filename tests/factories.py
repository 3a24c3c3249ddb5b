"""Models, data and settings of runs that take seconds: what tests need in more than one place."""

from __future__ import annotations

import json
from pathlib import Path

from llm.core.model.families import FAMILIES

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")


# ---- models


def random_model(family: str, vocab_size: int, seed: int = 3, **changes):
    """A causal LM of a `family` (Llama, Mistral, Qwen2, Qwen3) with random weights."""
    import paddle

    causal_lm = FAMILIES[family.lower()].causal_lm()
    paddle.seed(seed)
    own = {"head_dim": 12} if family == "Qwen3" else {}
    return causal_lm(causal_lm.config_class(vocab_size=vocab_size, **SIZES | own | changes))


def save_model(model, folder: Path, tokenizer_of: Path | None = None) -> Path:
    """In PaddleNLP's form; with the tokenizer of another folder."""
    model.save_pretrained(str(folder), safe_serialization=True)
    for file in TOKENIZER_FILES if tokenizer_of else ():
        (folder / file).write_bytes((tokenizer_of / file).read_bytes())
    return folder


# ---- data


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# ---- settings


def data_of(tiny: Path) -> dict[str, Path]:
    """Labelled records; `pairs_of` has preferences."""
    return {
        "model_name_or_path": tiny / "model",
        "train_dataset_path": tiny / "train.jsonl",
        "dev_dataset_path": tiny / "dev.jsonl",
    }


def pairs_of(tiny: Path) -> dict:
    pairs = {"train_dataset_path": tiny / "pairs.jsonl", "dev_dataset_path": tiny / "dev_pairs.jsonl"}
    return data_of(tiny) | pairs | {"process_reward": False}


def write_config(folder: Path, **settings) -> list[str]:
    """The flags of a run into folder/out: folder/config.json, without the settings that are `...`."""
    folder.mkdir(exist_ok=True)
    values = {"output_dir": folder / "out", "max_seq_len": 384, "learning_rate": 1e-3, "disable_tqdm": True, **settings}
    given = {name: value for name, value in values.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(given, default=str))
    return [str(folder / "config.json")]


def six_updates(tiny: Path, folder: Path, **changes) -> list[str]:
    """Flags of a run that is saved and evaluated in the middle and at the end."""
    settings = {
        "max_steps": 6,
        "eval_steps": 3,
        "save_steps": 3,
        "gradient_accumulation_steps": 2,
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 8,
    }
    return write_config(folder, **data_of(tiny) | settings | changes)


def twelve_updates(tiny: Path, folder: Path, **changes) -> list[str]:
    """Flags of a run with four checkpoints; the order of the rows changes with every pass of 4 updates of two ranks."""
    settings = {
        "zero_padding": False,
        "max_steps": 12,
        "logging_steps": 2,
        "eval_steps": 6,
        "save_steps": 3,
        "warmup_steps": 2,
        "gradient_accumulation_steps": 2,
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 3,
        "load_best_model_at_end": False,
    }
    return write_config(folder, **data_of(tiny) | settings | changes)
