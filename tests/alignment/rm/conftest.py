"""Runs under several layouts, which more than one test looks at."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from llm.data.generate_arithmetic import write
from tests.alignment.rm.layout_runs import train


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_model(tiny: Path, folder: Path, **changes) -> Path:
    """A Qwen2 with the tokenizer of `tiny`."""
    import paddle
    from paddlenlp.transformers import Qwen2Config, Qwen2ForCausalLM

    paddle.seed(3)
    sizes = {
        "vocab_size": 640,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
    }
    config = Qwen2Config(**sizes | changes)
    Qwen2ForCausalLM(config).save_pretrained(str(folder), safe_serialization=True)
    for file in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json"):
        (folder / file).write_bytes((tiny / "model" / file).read_bytes())
    return folder


def labels_as(words: dict[str, str], records: list[dict]) -> list[dict]:
    return [record | {"labels": [words[label] for label in record["labels"]]} for record in records]


@pytest.fixture(scope="session")
def data_sets(tiny, tmp_path_factory) -> dict[str, dict]:
    """Settings of what is trained on what. In the first half of the vocabulary, which tensor parallelism gives to the
    first rank, are "+" and "-"; 7, is and answer are in the second."""
    folder = tmp_path_factory.mktemp("data")
    words = {"+": "is", "-": "answer"}
    for name in ("train", "dev"):
        write(folder / f"{name}_words.jsonl", labels_as(words, read(tiny / f"{name}.jsonl")))
    write(folder / "few.jsonl", read(tiny / "train.jsonl")[:9])
    write(folder / "few_pairs.jsonl", read(tiny / "pairs.jsonl")[:9])
    steps = {
        "model_name_or_path": tiny / "model",
        "train_dataset_path": tiny / "train.jsonl",
        "dev_dataset_path": tiny / "dev.jsonl",
    }
    pairs = steps | {
        "train_dataset_path": tiny / "pairs.jsonl",
        "dev_dataset_path": tiny / "dev_pairs.jsonl",
        "process_reward": False,
        "reward_tokens": "7,+",
        "logging_steps": 2,  # a checkpoint is saved between two lines of the log
        "save_steps": 5,
        "eval_steps": 5,
    }
    # 9 rows: every second update has one, which is on the first rank; the model gets worse before the end
    few = {
        "zero_padding": False,
        "prefix_sharing": False,
        "per_device_eval_batch_size": 5,
        "max_steps": 8,
        "eval_steps": 2,
        "save_steps": 2,
        "logging_steps": 1,
        "learning_rate": 3e-3,
    }
    return {
        "steps": steps,
        "four layers": steps
        | {"model_name_or_path": write_model(tiny, folder / "four", num_hidden_layers=4, tie_word_embeddings=False)},
        "few steps": steps | few | {"train_dataset_path": folder / "few.jsonl"},
        "pairs": pairs,
        "few pairs": pairs | few | {"train_dataset_path": folder / "few_pairs.jsonl"},
        "tied": steps
        | {
            "model_name_or_path": write_model(tiny, folder / "tied", tie_word_embeddings=True),
            "train_dataset_path": folder / "train_words.jsonl",
            "dev_dataset_path": folder / "dev_words.jsonl",
            "reward_tokens": "is,answer",
        },
    }


@pytest.fixture(scope="session")
def run_of(data_sets, tmp_path_factory):
    """run_of(data, layout): the output_dir of that run, which is made once."""
    folder = tmp_path_factory.mktemp("runs")

    @functools.cache
    def run(data: str, layout: str) -> Path:
        return train(folder / f"{data}, {layout}", layout, **data_sets[data])

    return run
