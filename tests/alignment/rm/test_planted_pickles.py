"""A pickle that would run code, in every place where a run, a scorer or merge-lora can find a file: it never runs."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest

from llm.alignment.rm.flashmask.run_reward import main
from llm.core.checkpoint import checkpoints, loop_state
from llm.core.model import whole
from llm.export import merge_lora
from llm.scoring.scorer import Scorer
from tests import factories
from tests.runs import refusal

REFUSED = "'posix.mkdir'"


class Planted:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def plant(tmp_path):
    """plant(file) writes it; no command of the test may run it."""
    marker = tmp_path / "marker"
    yield lambda file: file.write_bytes(pickle.dumps({"a": Planted(marker)}, 4))
    assert not marker.exists()


def halfway(tiny: Path, folder: Path, **changes) -> tuple[list[str], Path]:
    """Flags of a run, and its checkpoint in the middle, from which they resume."""
    flags = factories.six_updates(tiny, folder, load_best_model_at_end=False, **changes)
    main(flags)
    shutil.rmtree(folder / "out/checkpoint-6")
    return flags, folder / "out/checkpoint-3"


def move_model(tiny: Path, folder: Path, weights: str, index: str | None) -> Path:
    """The model's folder with weights yet to be planted."""
    shutil.copytree(tiny / "model", folder)
    for old in folder.glob("model*safetensors*"):
        old.unlink()
    if index:
        (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": {"lm_head.weight": weights}}))
    return folder


@pytest.mark.runs
@pytest.mark.parametrize(
    "weights, index",
    [
        ("model_state.pdparams", None),
        ("model_state-00001-of-00001.pdparams", "model_state.pdparams.index.json"),
        ("any.pdparams", "model.safetensors.index.json"),
    ],
)
def test_in_a_models_folder(tiny, tmp_path, capsys, plant, weights, index):
    model = move_model(tiny, tmp_path / "model", weights, index)
    plant(model / weights)
    flags = factories.six_updates(tiny, tmp_path / "run", model_name_or_path=model)
    message = refusal(capsys, flags)
    assert str(model / weights) in message and REFUSED in message


@pytest.mark.runs
@pytest.mark.parametrize(
    "settings, name",
    [
        ({}, "rng_state.pth"),
        ({}, "scheduler.pdparams"),
        ({"unified_checkpoint": False}, "model_state.pdparams"),
        ({"unified_checkpoint": False}, "optimizer.pdopt"),
        ({"unified_checkpoint": False, "lora": True}, "lora_model_state.pdparams"),
    ],
)
def test_in_a_checkpoint(tiny, tmp_path, capsys, plant, settings, name):
    """Of the first two, older checkpoints of this project had nothing else."""
    flags, checkpoint = halfway(tiny, tmp_path / "run", **settings)
    for own in {"rng_state.pth": [loop_state.RANDOM], "scheduler.pdparams": [loop_state.SCHEDULE]}.get(name, []):
        (checkpoint / own).unlink()
    plant(checkpoint / name)
    checkpoints.mark_complete(checkpoint)
    message = refusal(capsys, flags)
    assert name in message and str(checkpoint) in message and REFUSED in message


@pytest.mark.runs
@pytest.mark.parametrize(
    "settings, needed",
    [
        ({}, {"model-00001-of-00001.safetensors"}),
        ({"lora": True}, {"peft_model-00001-of-00001.safetensors"}),
    ],
)
def test_a_checkpoint_ignores_pickles_that_it_does_not_need(tiny, tmp_path, plant, settings, needed):
    flags, checkpoint = halfway(tiny, tmp_path / "run", **settings)
    assert needed < {path.name for path in checkpoint.iterdir()}
    for name in (
        "rng_state.pth",
        "scheduler.pdparams",
        "model_state.pdparams",
        "lora_model_state.pdparams",
        "optimizer.pdopt",
        "scaler.pdparams",
        "training_args.bin",
        "master_weights.pdparams",
        ".saving_info",
    ):
        plant(checkpoint / name)
    checkpoints.mark_complete(checkpoint)
    main(flags)


@pytest.mark.runs
def test_beside_adapters_and_in_their_base(tiny, tmp_path, capsys, plant):
    base = shutil.copytree(tiny / "model", tmp_path / "base")
    main(factories.six_updates(tiny, tmp_path / "run", model_name_or_path=base, lora=True, max_steps=3))
    adapters = tmp_path / "run/out"
    plant(adapters / "lora_model_state.pdparams")
    for file in (adapters / "lora_model_state.pdparams", base / "model_state.pdparams"):
        with pytest.raises(ValueError, match=REFUSED) as refused:
            Scorer.load(str(adapters))
        assert str(file) in str(refused.value)
        message = refusal(capsys, [str(adapters), str(tmp_path / "merged")], merge_lora.main)
        assert str(file) in message and REFUSED in message
        file.unlink()
        for name in ("lora_base.json", whole.LIST):  # of an early version, which had neither
            (adapters / name).unlink(missing_ok=True)
        for weights in base.glob("model*safetensors*"):
            weights.unlink()
        plant(base / "model_state.pdparams")


@pytest.mark.runs
def test_in_the_folder_of_a_finished_model(tiny, tmp_path, plant):
    main(factories.six_updates(tiny, tmp_path / "run", unified_checkpoint=False, max_steps=3))
    plant(tmp_path / "run/out/model_state.pdparams")
    (tmp_path / "run/out" / whole.LIST).unlink()  # which would say that the file has changed
    with pytest.raises(ValueError, match=f"model_state.pdparams is refused.*{REFUSED}"):
        Scorer.load(str(tmp_path / "run/out"))
