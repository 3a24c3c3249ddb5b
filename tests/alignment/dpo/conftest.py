"""Data and settings of small trainings on pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import factories


def compared(record: dict) -> dict:
    """A preference of the reward models as a prompt and two answers."""
    chosen = record["sort"].index(max(record["sort"]))
    prompt, answers = record["src"][0] + "\n", record["response"]
    return {"prompt": prompt, "chosen": answers[chosen], "rejected": answers[1 - chosen]}


@pytest.fixture(scope="session")
def compared_answers(tiny, made_once) -> dict[str, Path]:
    """Settings that name the model and its data: pairs of answers, a group of four, a chat."""

    def make(folder: Path) -> None:
        group = {"src": ["1 + 1 =\n"], "response": ["2", "3", "4", "3"], "sort": [2, 1, 0, 1], "weight": 2}
        question = {"role": "user", "content": "7 - 3 =\n"}
        chat = {key: [question, {"role": "assistant", "content": key}] for key in ("chosen", "rejected")}
        for name, count in (("train", 30), ("dev", 10)):
            pairs = factories.read_lines(tiny / f"{'dev_' if name == 'dev' else ''}pairs.jsonl")[:count]
            records = [*map(compared, pairs), group, chat]
            (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, records)))
        other = factories.random_model("Llama", 640, seed=8)
        factories.save_model(other, folder / "other", tiny / "model")

    folder = made_once("compared answers", make)
    return {
        "model_name_or_path": tiny / "model",
        "train_dataset_path": folder / "train.jsonl",
        "dev_dataset_path": folder / "dev.jsonl",
    }


@pytest.fixture(scope="session")
def other_model(compared_answers) -> Path:
    """With other random weights."""
    return compared_answers["train_dataset_path"].parent / "other"


@pytest.fixture(scope="session")
def flags_in(tiny, compared_answers):
    """flags_in(folder, **changes): a training of 6 updates into folder/out."""
    few = {"max_seq_len": 256, "zero_padding": False, "warmup_steps": 1, "learning_rate": 3e-4}
    return lambda folder, **changes: factories.six_updates(tiny, folder, **compared_answers | few | changes)


@pytest.fixture
def flags_of(flags_in, tmp_path):
    """The same for tmp_path/name."""
    return lambda name, **changes: flags_in(tmp_path / name, **changes)


@pytest.fixture(scope="module")
def models(tiny, other_model):
    """(policy, reference)"""
    from llm.core import patches
    from llm.core.model import attention, config, language_model

    attend = attention.choose(False, False)[0]
    folders = str(tiny / "model"), str(other_model)
    loaded = [patches.load_model(folder, config.load_config(folder), attend, "float32") for folder in folders]
    return tuple(map(language_model.as_language_model, loaded))
