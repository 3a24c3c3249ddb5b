"""Every shipped configuration is accepted by the script for its command's number of processes, and stands in the table
of docs/configs.md with the figures of `python -m llm estimate`."""

import json
import shlex
from itertools import product
from pathlib import Path

import pytest

from llm.alignment.rm.flashmask import reward_argument, reward_checks
from llm.core.run.arguments import MISPRINTS
from llm.core.settings.parse import parse
from llm.estimate import estimate
from llm.estimate.memory import GIB

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs/configs.md").read_text(encoding="utf-8")
SCRIPT = "llm/alignment/rm/flashmask/run_reward.py"
MODELS = {
    "tiny": "./checkpoints/tiny/base",
    "llama": "meta-llama/Meta-Llama-3.1-8B",
    "mistral": "mistralai/Mistral-7B-v0.1",
    "qwen": "Qwen/Qwen2.5-Math-7B-Instruct",
    "qwen3": "Qwen/Qwen3-8B",
}
EXPECTED = {
    f"llm/config/{folder}/{kind}_{form}_argument.json": (folder, kind, form)
    for folder, kind, form in product(MODELS, ("prm", "orm", "rm"), ("flashmask", "lora"))
} | {
    "llm/config/tiny/prm_mlp_head_argument.json": ("tiny", "prm", "mlp_head"),
    "llm/config/tiny/prm_quantile_argument.json": ("tiny", "prm", "quantile"),
}
# [name, command, GPUs, millions trained, GiB], of tiny ones the first two
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if SCRIPT in line]
OF_CONFIG = {row[1].strip("`").split()[-1]: row for row in ROWS}
EVERY_CONFIG = pytest.mark.parametrize("config", EXPECTED)


def test_every_configuration_exists_and_has_one_row():
    on_disk = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "llm/config").rglob("*_argument.json")}
    on_disk -= {path for path in on_disk if "/sft_" in path or "/dpo_" in path}  # tests of these tasks
    assert on_disk == set(EXPECTED) == set(OF_CONFIG) and len(ROWS) == len(EXPECTED)


def ranks_of(config: str) -> int:
    """Processes that its command starts."""
    words = shlex.split(OF_CONFIG[config][1].strip("`"))
    before, after = words[: words.index(SCRIPT)], words[words.index(SCRIPT) + 1 :]
    assert after == [config]
    if EXPECTED[config][0] == "tiny":
        assert before == [".venv/bin/python"]
        return 1
    assert before[:-2] == ["python", "-u", "-m", "paddle.distributed.launch"] and before[-2] == "--gpus"
    devices = before[-1].split(",")
    assert devices == [str(number) for number in range(len(devices))]
    return len(devices)


@EVERY_CONFIG
def test_its_command_is_accepted(config):
    """By the code of the script itself, on GPUs or, the tiny ones, on a CPU; no setting of the file is changed."""
    ranks, (folder, kind, form) = ranks_of(config), EXPECTED[config]
    settings = parse(
        reward_argument.CLASSES,
        [str(REPOSITORY / config)],
        "",
        MISPRINTS,
    )
    reward_checks.resolve(settings, ranks=ranks, has_cuda=folder != "tiny")
    assert settings["model_name_or_path"] == ("./checkpoints/tiny/prm" if form == "quantile" else MODELS[folder])
    assert settings["process_reward"] == (kind == "prm")
    assert settings["lora"] == (form == "lora")
    assert "preferences" in str(settings["train_dataset_path"]) or kind != "rm"
    degrees = max(settings["tensor_parallel_degree"], 1) * max(settings["sharding_parallel_degree"], 1)
    assert ranks % degrees == 0
    if folder != "tiny":
        assert settings["use_flash_attention"] and settings["flash_mask"] and settings["bf16"]


@EVERY_CONFIG
def test_its_figures_are_what_is_estimated(config):
    if EXPECTED[config][0] == "tiny":
        return
    _, _, gpus, trained, memory = OF_CONFIG[config]
    outcome = estimate.judged([str(REPOSITORY / config), "--gpus", gpus])
    assert int(gpus) == ranks_of(config) == outcome["gpus"] and outcome["fits"]
    assert trained == f"{outcome['trained'] / 1e6:,.0f} M"
    assert memory == f"{outcome['peak_bytes'] / GIB:.1f}"


def test_output_folders_differ():
    folders = [json.loads((REPOSITORY / config).read_text(encoding="utf-8"))["output_dir"] for config in EXPECTED]
    assert len(set(folders)) == len(folders)


def test_one_model_learns_with_the_same_settings_whatever_it_is_taught():
    """Between prm, orm and rm of a folder only what belongs to the kind differs."""
    own = {
        "train_dataset_path",
        "dev_dataset_path",
        "output_dir",
        "process_reward",
        "reward_centering",
        "learning_rate",
        "eval_steps",
        "save_steps",
    }
    for folder, form in product(MODELS, ("flashmask", "lora")):
        names = [f"llm/config/{folder}/{kind}_{form}_argument.json" for kind in ("prm", "orm", "rm")]
        contents = [json.loads((REPOSITORY / name).read_text(encoding="utf-8")) for name in names]
        common = [{key: value for key, value in content.items() if key not in own} for content in contents]
        assert common[0] == common[1] == common[2], (folder, form)
