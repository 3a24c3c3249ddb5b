"""Every shipped configuration of fine-tuning is accepted, and no setting of the file is changed."""

import pytest

from llm.finetune.sft_argument import CLASSES
from llm.finetune.sft_run import note_problems
from tests.shipped_configs import FOLDER, assert_accepted

CONFIGS = sorted(FOLDER.glob("*/sft_*.json"))


def test_there_is_one_for_every_model():
    assert [config.parent.name for config in CONFIGS] == ["llama", "mistral", "qwen", "qwen3", "tiny", "tiny"]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.parent.name}/{config.stem}")
def test_it_is_accepted(config):
    assert_accepted(config, CLASSES, note_problems)
