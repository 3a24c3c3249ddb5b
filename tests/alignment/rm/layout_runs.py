"""Runs of the same settings under different layouts: every update has the same rows, on other ranks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llm.alignment.rm.flashmask.run_reward import main
from llm.core import patches
from llm.core.model import config as config_module
from llm.core.model.attention import block_attention
from tests import factories
from tests.runs import train_ranks

SETTINGS = {
    "max_steps": 6,
    "eval_steps": 3,
    "save_steps": 3,
    "warmup_steps": 2,
    "per_device_eval_batch_size": 3,  # the 4 held-out rows fill no two batches
}


def of_update(batch: int, accumulation: int) -> dict:
    return {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}


ONE = "one process"
TENSOR, PIPELINE = {"tensor_parallel_degree": 2}, {"pipeline_parallel_degree": 2}
LAYOUTS = {  # (processes, settings): 8 rows an update in all of them
    ONE: (1, of_update(4, 2)),
    "data": (2, of_update(2, 2) | {"sharding": ""}),
    "stage1": (2, of_update(4, 1) | {"sharding": "stage1"}),
    "stage2": (2, of_update(2, 2) | {"sharding": "stage2"}),
    "stage3": (2, of_update(2, 2) | {"sharding": "stage3"}),
    "stage3 in files of its own": (2, of_update(2, 2) | {"sharding": "stage3", "unified_checkpoint": False}),
    "tensor": (2, of_update(4, 2) | TENSOR),
    "sequence": (2, of_update(8, 1) | TENSOR | {"sequence_parallel": True}),
    "tensor and stage1": (4, of_update(2, 2) | TENSOR | {"sharding": "stage1"}),
    "pipeline": (2, of_update(2, 4) | PIPELINE),
    "four stages": (4, of_update(2, 4) | {"pipeline_parallel_degree": 4}),
    "pipeline and tensor": (4, of_update(4, 2) | PIPELINE | TENSOR),
}


def flags_of(folder: Path, **settings) -> list[str]:
    return factories.write_config(folder, **SETTINGS | settings)


def train(folder: Path, layout: str, **settings) -> Path:
    """Trains in this process where one is enough; returns the output_dir."""
    processes, own = LAYOUTS[layout]
    flags = flags_of(folder, **own, **settings)
    if processes == 1:
        main(flags)
    else:
        train_ranks(flags, folder, processes)
    return folder / "out"


def assert_same_training(one: Path, other: Path) -> None:
    """Every line of the log, every result and every weight at the end."""
    first, second = log_of(one), log_of(other)
    assert len(first) == len(second)
    for number, (wanted, found) in enumerate(zip(first, second, strict=True)):
        assert not differences(wanted, found), f"line {number} of the log, step {wanted['step']}"
    for file in ("train_results.json", "eval_results.json"):
        assert not differences(*(untimed(json.loads((folder / file).read_text())) for folder in (one, other))), file
    weights = weights_of(other)
    for name, wanted in weights_of(one).items():
        np.testing.assert_allclose(weights[name], wanted, rtol=1e-4, atol=1e-5, err_msg=name)


def log_of(folder: Path) -> list[dict]:
    return [untimed(line) for line in json.loads((folder / "trainer_state.json").read_text())["log_history"]]


def untimed(values: dict) -> dict:
    return {name: value for name, value in values.items() if "second" not in name}


def differences(wanted: dict, found: dict) -> dict:
    """{name: (wanted, found)}. Means of rewards, which have either sign, may be near 0; what is undefined is None."""
    pairs = {name: (wanted.get(name), found.get(name)) for name in {*wanted, *found}}

    def differ(one: float | None, other: float | None) -> bool:
        return one is not other if None in (one, other) else other != pytest.approx(one, rel=1e-4, abs=2e-5)

    return {name: pair for name, pair in pairs.items() if differ(*pair)}


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    """Of the whole model, as one process loads it from the files of a run."""
    model = patches.load_model(str(folder), config_module.load_config(str(folder)), block_attention, "float32")
    return {name: weight.numpy() for name, weight in model.state_dict().items()}
