"""Which checkpoint in output_dir a run resumes from: the last whole one, or none and a reason."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llm.core.checkpoint import checkpoints, output_folder
from llm.core.files import write_json

IDENTITY = {"seed": 1}


def make(output_dir, step: int, complete=True, seed: object = 1):
    folder = output_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    write_json(folder / checkpoints.IDENTITY, {"seed": seed})
    if complete:
        checkpoints.mark_complete(folder)
    return folder


def find(output_dir, given=None, lacking=(), **changes):
    """`lacking`: the updates whose checkpoints lack a tensor."""
    asked = {"do_train": True, "overwrite_output_dir": False, "resume_from_checkpoint": given and str(given)}

    def faults_of(folder):
        return ["model.safetensors lacks a tensor"] if checkpoints.step_of(folder) in lacking else []

    return output_folder.find_checkpoint(output_dir, SimpleNamespace(**asked | changes), IDENTITY, {}, faults_of)


def flip(folder, name="model.safetensors") -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)


def test_it_is_the_newest_whole_one_and_the_others_are_named_with_what_is_wrong(tmp_path, capsys):
    for step in (3, 6, 9, 12, 15):
        make(tmp_path, step, complete=step != 15)
    flip(tmp_path / "checkpoint-12")
    (tmp_path / "checkpoint-9/model.safetensors").unlink()
    assert find(tmp_path, lacking=[6]) == tmp_path / "checkpoint-3"
    assert capsys.readouterr().out.splitlines() == [
        "ignored checkpoint-15: it is half-written (the run was stopped while saving it)",
        "ignored checkpoint-12: it is damaged: model.safetensors has changed since it was saved (its checksum differs)",
        "ignored checkpoint-9: it is damaged: model.safetensors is missing",
        "ignored checkpoint-6: it is damaged: model.safetensors lacks a tensor",
    ]
    assert find(tmp_path / "nowhere") is None


def test_a_run_does_not_start_again_where_all_that_it_has_is_damaged(tmp_path):
    for step in (3, 6, 9):
        make(tmp_path, step, complete=step != 9)
        flip(tmp_path / f"checkpoint-{step}")
    with pytest.raises(ValueError) as refused:
        find(tmp_path)
    message = str(refused.value)
    assert "checkpoint-3: model.safetensors has changed" in message and "checkpoint-9" not in message
    assert "delete these checkpoints, or set overwrite_output_dir true" in message
    assert find(tmp_path, overwrite_output_dir=True) is None and find(tmp_path, do_train=False) is None


def test_where_all_are_half_written_a_run_starts_again(tmp_path):
    make(tmp_path, 3, complete=False)
    assert find(tmp_path) is None


def test_a_damaged_one_that_is_named_is_refused_although_there_are_others(tmp_path):
    make(tmp_path, 3)
    given = make(tmp_path, 6)
    assert find(tmp_path, given) == given
    for lacking in ([6], []):
        if not lacking:
            flip(given)
        with pytest.raises(ValueError, match=f"resume_from_checkpoint: {given} is not .* model.safe"):
            find(tmp_path, given, lacking)


@pytest.mark.parametrize("damage", ["{", "[]", "7", '"x"', "\xff", "[" * 100_000])
def test_an_identity_that_is_none_is_damage(tmp_path, capsys, damage):
    make(tmp_path, 3)
    folder = make(tmp_path, 6)
    (folder / checkpoints.IDENTITY).write_bytes(damage.encode("latin-1"))
    checkpoints.mark_complete(folder)
    assert find(tmp_path) == tmp_path / "checkpoint-3"
    assert f"it is damaged: {checkpoints.IDENTITY} is " in capsys.readouterr().out


def test_one_of_another_run_is_refused_as_such_and_not_for_what_it_lacks(tmp_path):
    make(tmp_path, 3)
    make(tmp_path, 6, seed=2)
    with pytest.raises(ValueError, match="written by another run[^$]*seed: 2 in the checkpoint, 1 now"):
        find(tmp_path, lacking=[6])
