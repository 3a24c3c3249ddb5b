"""Which task a command is about: by name, by its settings, by the schema that it names, by its records."""

from __future__ import annotations

import json

import pytest

from llm.tasks.table import TASKS, find_task, task_named

DIALOGUE = {"prompt": "2 + 3?\n", "response": "5"}
LABELLED = {"src": ["2 + 3?"], "tgt": [], "responses": ["5"], "labels": ["+"]}
COMMON = {"model_name_or_path": "m", "max_steps": 5}


@pytest.fixture
def config_of(tmp_path):
    def config(record: dict = LABELLED, **settings) -> str:
        data = tmp_path / "data.jsonl"
        data.write_text(json.dumps(record))
        file = tmp_path / "config.json"
        file.write_text(json.dumps(COMMON | {"train_dataset_path": str(data)} | settings))
        return str(file)

    return config


def name_of(*argv: str, config: str | None = None) -> str:
    task, _ = find_task([*argv], config)
    return next(name for name in TASKS if task_named(name) is task)


def test_the_named_task_wins_and_is_taken_from_the_words(config_of):
    task, words = find_task([config_of(DIALOGUE), "--task", "reward", "--max_steps", "3"])
    assert task is task_named("reward") and words[1:] == ["--max_steps", "3"]
    assert name_of(config_of(), "--task=sft") == "sft"
    with pytest.raises(ValueError, match="no such task; write one of reward, sft, dpo"):
        find_task(["--task", "ppo"])


def test_a_setting_that_only_one_task_has_says_it(config_of):
    assert name_of(config_of(process_reward=False)) == "reward"
    assert name_of(config_of(learn_last_answer=True)) == "sft"
    assert name_of(config_of(beta=0.2)) == "dpo"
    assert name_of(config_of(), "--learn_last_answer") == "sft"


def test_the_schema_or_the_records_say_it_otherwise(config_of):
    for name in TASKS:
        assert name_of(config_of(**{"$schema": f"../{task_named(name).schema}"})) == name
    assert name_of(config_of(DIALOGUE)) == "sft"
    assert name_of(config_of()) == "reward"
    assert name_of(config_of(train_dataset_path="nothere")) == "reward"


def test_data_without_a_configuration_says_it(config_of, tmp_path):
    config = config_of(DIALOGUE)
    assert name_of(str(tmp_path / "data.jsonl")) == "sft"
    assert name_of("--train_dataset_path", str(tmp_path / "data.jsonl"), config=config) == "sft"


def test_what_cannot_be_read_is_left_to_the_settings(tmp_path):
    (tmp_path / "config.json").write_text('{"model_name_or_path": broken')
    assert name_of(str(tmp_path / "config.json")) == "reward"
