"""Data and settings of small fine-tunings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import factories


def dialogue_of(record: dict) -> dict:
    return {"prompt": record["src"][0] + "\n", "response": "\n".join(record["responses"])}


@pytest.fixture(scope="session")
def answers(tiny, made_once) -> dict[str, Path]:
    """Settings that name the model and its data: solutions as answers, dialogues of two turns and a chat among them."""

    def make(folder: Path) -> None:
        for name, count in (("train", 40), ("dev", 12)):
            records = [dialogue_of(record) for record in factories.read_lines(tiny / f"{name}.jsonl")[:count]]
            chat = [{"role": "user", "content": "7 - 3 ="}, {"role": "assistant", "content": " 4"}]
            records += [{"src": ["Hi\n", "And 2 + 3?\n"], "tgt": ["Hello", "5"], "weight": 2}, {"messages": chat}]
            (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, records)))

    folder = made_once("answers", make)
    return {
        "model_name_or_path": tiny / "model",
        "train_dataset_path": folder / "train.jsonl",
        "dev_dataset_path": folder / "dev.jsonl",
    }


@pytest.fixture(scope="session")
def flags_in(tiny, answers):
    """flags_in(folder, **changes): a fine-tuning of 6 updates into folder/out."""
    few = {"max_seq_len": 192, "zero_padding": False, "warmup_steps": 1}
    return lambda folder, **changes: factories.six_updates(tiny, folder, **answers | few | changes)


@pytest.fixture
def flags_of(flags_in, tmp_path):
    """The same for tmp_path/name."""
    return lambda name, **changes: flags_in(tmp_path / name, **changes)
