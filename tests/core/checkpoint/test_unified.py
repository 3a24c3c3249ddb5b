"""One process reads all files of a checkpoint of several ranks."""

from __future__ import annotations

import numpy as np
import pytest
from paddlenlp.trainer.unified_checkpoint import load_save_single_card
from safetensors.numpy import save_file

from llm.core import patches

PARTS = {"a": [1.0], "b": [[2.0]]}, {"c": [3.0]}, {"d": [4.0], "e": [5.0]}


@pytest.fixture
def load(monkeypatch):
    """What PaddleNLP calls for its first file."""
    monkeypatch.setattr(load_save_single_card, "load_state_dict", load_save_single_card.load_state_dict)
    patches.apply_to_library()
    return lambda file: load_save_single_card.load_state_dict(str(file), None, None)


def save(folder, kind: str, parts, of: int) -> None:
    for number, values in enumerate(parts, start=1):
        arrays = {name: np.array(value, "float32") for name, value in values.items()}
        save_file(arrays, folder / f"{kind}-{number:05d}-of-{of:05d}.safetensors", metadata={"format": "np"})


def as_lists(state: dict) -> dict:
    return {name: value.tolist() for name, value in state.items()}


def test_several_files_are_merged_and_others_beside_them_left_alone(load, tmp_path):
    """The optimiser's files stand in the same folder, and so may those of another number of ranks."""
    save(tmp_path, "model", PARTS, of=3)
    save(tmp_path, "optimizer", [{"a": [9.0]}, {"c": [9.0]}, {"f": [9.0]}], of=3)
    save(tmp_path, "model", [{"a": [8.0], "g": [8.0]}], of=2)
    assert as_lists(load(tmp_path / "model-00001-of-00003.safetensors")) == PARTS[0] | PARTS[1] | PARTS[2]


def test_a_single_file_is_read_as_it_is(load, tmp_path):
    save(tmp_path, "optimizer", PARTS[:1], of=1)
    assert as_lists(load(tmp_path / "optimizer-00001-of-00001.safetensors")) == PARTS[0]


def test_a_checkpoint_with_another_number_of_files_than_their_names_say_fails(load, tmp_path):
    """Not silently: the weights in the missing file would stay as they are."""
    save(tmp_path, "model", PARTS[:2], of=3)
    with pytest.raises(ValueError, match="2 of 3"):
        load(tmp_path / "model-00001-of-00003.safetensors")


@pytest.mark.parametrize("name", ["model-00001-of-00001.safetensors", "model-00001-of-00001.safetensorz", "gone"])
def test_a_file_that_is_not_there_is_an_error_and_not_an_empty_state(load, tmp_path, name):
    """One flipped bit in an index is enough, and the model would keep the weights that it started from."""
    save(tmp_path, "optimizer", PARTS[:1], of=1)
    with pytest.raises(ValueError, match="0 of 1|is missing"):
        load(tmp_path / name)
