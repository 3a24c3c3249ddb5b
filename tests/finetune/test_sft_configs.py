"""Every shipped configuration of fine-tuning is accepted, and no setting of the file is changed."""

import json
from pathlib import Path

import pytest

from llm.core.run import checks
from llm.core.settings.parse import parse
from llm.finetune.sft_argument import CLASSES
from llm.finetune.sft_metrics import METRICS

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "llm/config").glob("*/sft_*.json"))


def test_there_is_one_for_every_model():
    assert [config.parent.name for config in CONFIGS] == ["llama", "mistral", "qwen", "qwen3", "tiny", "tiny"]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.parent.name}/{config.stem}")
def test_it_is_accepted(config):
    settings, is_tiny = parse(CLASSES, [str(config)], ""), config.parent.name == "tiny"
    checks.note_problems(settings, 1 if is_tiny else 4, not is_tiny, METRICS)
    checks.fit_lengths(settings)
    settings.check()
    written = json.loads(config.read_text())
    assert (config.parent / written.pop("$schema")).resolve().name == "sft.schema.json"
    assert {name: settings[name] for name in written if not name.endswith("_dataset_path")} == {
        name: value for name, value in written.items() if not name.endswith("_dataset_path")
    }
    assert is_tiny or (settings["flash_mask"] and settings["bf16"])
