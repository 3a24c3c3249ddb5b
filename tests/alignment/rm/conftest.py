"""Runs under several layouts, which more than one test looks at."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm.data.generate_arithmetic import write
from tests import factories
from tests.alignment.rm.layout_runs import train


def labels_as(words: dict[str, str], records: list[dict]) -> list[dict]:
    return [record | {"labels": [words[label] for label in record["labels"]]} for record in records]


@pytest.fixture(scope="session")
def data_sets(tiny, made_once) -> dict[str, dict]:
    """Settings of what is trained on what. In the first half of the vocabulary, which tensor parallelism gives to the
    first rank, are "+" and "-"; 7, is and answer are in the second."""

    def make(folder: Path) -> None:
        words = {"+": "is", "-": "answer"}
        for name in ("train", "dev"):
            write(folder / f"{name}_words.jsonl", labels_as(words, factories.read_lines(tiny / f"{name}.jsonl")))
        write(folder / "few.jsonl", factories.read_lines(tiny / "train.jsonl")[:9])
        write(folder / "few_pairs.jsonl", factories.read_lines(tiny / "pairs.jsonl")[:9])
        for name, changes in (
            ("Qwen2 four", {"num_hidden_layers": 4, "tie_word_embeddings": False}),
            ("Qwen2 tied", {"tie_word_embeddings": True}),
            ("Qwen3", {}),
        ):
            family = name.split()[0]
            factories.save_model(factories.random_model(family, 640, **changes), folder / name, tiny / "model")

    folder = made_once("data", make)
    steps = factories.data_of(tiny)
    pairs = factories.pairs_of(tiny) | {
        "reward_tokens": "7,+",
        "logging_steps": 2,  # a checkpoint is saved between two lines of the log
    }
    # 9 rows: every second update has one, which is on the first rank; the model gets worse before the end
    few = {
        "zero_padding": False,
        "prefix_sharing": False,
        "per_device_eval_batch_size": 5,
        "max_steps": 6,
        "eval_steps": 2,
        "save_steps": 2,
        "logging_steps": 1,
        "learning_rate": 3e-3,
    }
    few_steps = steps | few | {"train_dataset_path": folder / "few.jsonl"}
    few_pairs = pairs | few | {"train_dataset_path": folder / "few_pairs.jsonl"}
    tied = steps | {
        "model_name_or_path": folder / "Qwen2 tied",
        "train_dataset_path": folder / "train_words.jsonl",
        "dev_dataset_path": folder / "dev_words.jsonl",
        "reward_tokens": "is,answer",
    }
    return {
        "steps": steps,
        "four layers": steps | {"model_name_or_path": folder / "Qwen2 four"},
        "qwen3": steps | {"model_name_or_path": folder / "Qwen3"},
        "few steps": few_steps,
        "pairs": pairs,
        "few pairs": few_pairs,
        "linear": steps | new("linear"),
        "few ranked, mlp": few_steps | new("mlp") | {"prm_loss": "pqm"},
        "few quantiles": few_steps | new("quantile"),
        "few pairs, value": few_pairs | new("value"),
        "tied, mlp": tied | new("mlp"),
        "tied": tied,
    }


def new(head: str) -> dict:
    return {"reward_head": head, "init_reward_head": True}


@pytest.fixture(scope="session")
def run_of(data_sets, made_once):
    """run_of(data, layout): the output_dir of that run, which is made once."""

    def run(data: str, layout: str) -> Path:
        return made_once(f"{data}, {layout}", lambda folder: train(folder, layout, **data_sets[data])) / "out"

    return run
