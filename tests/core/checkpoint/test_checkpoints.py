"""A checkpoint counts when it is whole; the best and the newest whole one are never deleted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.core.checkpoint import checkpoints
from llm.core.checkpoint.checkpoints import (
    FILE_LIST,
    all_checkpoints,
    delete_old,
    is_complete,
    mark_complete,
)
from llm.core.checkpoint.compatibility import identity_differences
from llm.core.files import read_json, write_json
from tests.core.checkpoint.made_checkpoints import make, steps


def test_a_folder_is_whole_once_it_is_marked_and_as_long_as_its_files_are(tmp_path):
    folder = make(tmp_path, 5, complete=False)
    assert not is_complete(folder)
    mark_complete(folder)
    assert is_complete(folder)
    (folder / "written later.log").write_text("x")
    assert is_complete(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "rank/optimizer.pdopt", "empty"])
def test_a_missing_file_makes_a_checkpoint_half_written(tmp_path, file):
    """In sub-folders and of no size, too."""
    folder = make(tmp_path, 5)
    (folder / file).unlink()
    assert not is_complete(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "rank/optimizer.pdopt"])
def test_a_file_that_is_cut_short_makes_a_checkpoint_half_written(tmp_path, file):
    folder = make(tmp_path, 5)
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[:-1])
    assert not is_complete(folder)
    (folder / file).write_bytes(content)
    assert is_complete(folder)


@pytest.mark.parametrize("text", ["", "{", '{"model.safetensors": 7'])
def test_a_broken_file_list_makes_a_checkpoint_half_written(tmp_path, text):
    folder = make(tmp_path, 5)
    (folder / FILE_LIST).write_text(text)
    assert not is_complete(folder)


def test_a_folder_may_be_marked_again_after_more_was_written(tmp_path):
    """The list names every file but itself."""
    folder = make(tmp_path, 5)
    (folder / "more").write_text("more")
    mark_complete(folder)
    assert is_complete(folder)
    assert set(read_json(folder / FILE_LIST)) == {"model.safetensors", "rank/optimizer.pdopt", "empty", "more"}


def test_checkpoints_are_sorted_by_number_and_others_left_alone(tmp_path):
    for step in (1000, 20, 3):
        make(tmp_path, step)
    for name in ("checkpoint-", "checkpoint-best", "checkpoint-7-old", "my-checkpoint-8", "runs"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-9").write_text("a file")
    assert steps(all_checkpoints(tmp_path)) == [3, 20, 1000]


# ---- changed since it was saved


@settings(max_examples=30)
@given(data=st.data())
def test_a_flipped_bit_in_any_file_is_noticed_and_the_file_named(tmp_path_factory, data):
    """In the list itself, too. Sizes alone do not show it."""
    folder = make(tmp_path_factory.mktemp("out"), 5)
    assert checkpoints.faults(folder) == []
    name = data.draw(st.sampled_from(["model.safetensors", "rank/optimizer.pdopt", FILE_LIST]))
    content = bytearray((folder / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (folder / name).write_bytes(content)
    found = checkpoints.faults(folder)
    assert found
    if name != FILE_LIST:
        assert found == [f"{name} has changed since it was saved (its checksum differs)"]
        assert is_complete(folder)


def test_a_file_of_another_checkpoint_is_noticed(tmp_path):
    one, other = make(tmp_path, 5), make(tmp_path, 6, complete=False)
    (other / "model.safetensors").write_bytes(b"another" * 10)
    mark_complete(other)
    (other / "model.safetensors").write_bytes((one / "model.safetensors").read_bytes())
    assert [fault.split()[0] for fault in checkpoints.faults(other)] == ["model.safetensors"]


def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path):
    folder = make(tmp_path, 5)
    (folder / "model.safetensors").write_bytes(b"weights" * 9)
    (folder / "empty").unlink()
    assert checkpoints.faults(folder) == [
        "empty is missing",
        "model.safetensors has 63 bytes instead of 70",
    ]
    assert checkpoints.faults(folder, only=["*.pdopt", "model*"]) == ["model.safetensors has 63 bytes instead of 70"]
    assert checkpoints.faults(tmp_path / "nowhere") == [f"{FILE_LIST} is missing"]


def test_the_list_of_an_early_checkpoint_has_sizes_alone(tmp_path):
    folder = make(tmp_path, 5, complete=False)
    write_json(folder / FILE_LIST, {"model.safetensors": 70, "rank/optimizer.pdopt": 7, "empty": 0})
    assert checkpoints.faults(folder) == [] and is_complete(folder)
    write_json(folder / FILE_LIST, {"model.safetensors": 71})
    assert checkpoints.faults(folder) == ["model.safetensors has 70 bytes instead of 71"]


@pytest.mark.parametrize(
    "content", [[], "x", None, {}, {"a": "x"}, {"a": {}}, {"a": {"size": "1"}}, {"empty": {"size": 0, "checksum": 7}}]
)
def test_a_list_of_other_content_is_a_fault_and_no_error(tmp_path, content):
    folder = make(tmp_path, 5)
    write_json(folder / FILE_LIST, content)
    (fault,) = checkpoints.faults(folder)
    assert FILE_LIST in fault and not is_complete(folder)


# ---- deleting


@settings(max_examples=20)
@given(
    complete=st.lists(st.booleans(), max_size=6),
    keep=st.integers(1, 3),
    best=st.none() | st.integers(1, 6),
)
def test_deleting_keeps_the_newest_whole_ones_and_the_best(tmp_path_factory, complete, keep, best):
    """What is left: the newest `keep` whole ones, the best, and half-written ones that are newer than any whole one
    (the next save of that step, perhaps of another rank, is at work there). Without a whole one nothing goes."""
    output_dir = tmp_path_factory.mktemp("out")
    for number, whole in enumerate(complete, 1):
        make(output_dir, number, whole)
    wholes = [number for number, whole in enumerate(complete, 1) if whole]
    kept = [
        number
        for number in range(1, len(complete) + 1)
        if number in wholes[-keep:] or number == best or not wholes or number > wholes[-1]
    ]
    deleted = delete_old(output_dir, keep, best and str(output_dir / f"checkpoint-{best}"))
    assert steps(all_checkpoints(output_dir)) == kept
    assert steps(deleted) == sorted({*range(1, len(complete) + 1)} - {*kept})
    assert all(is_complete(output_dir / f"checkpoint-{number}") for number in kept if number in wholes)


@pytest.mark.parametrize("keep", [None, 0, -1])
def test_without_a_limit_nothing_is_deleted(tmp_path, keep):
    for step in (1, 2, 3):
        make(tmp_path, step, complete=step != 1)
    assert delete_old(tmp_path, keep, None) == []
    assert steps(all_checkpoints(tmp_path)) == [1, 2, 3]


def test_a_kill_while_deleting_leaves_no_checkpoint_that_looks_whole(tmp_path, monkeypatch):
    """The folder could lose its files one by one, and the list with the sizes be the last."""
    for step in (1, 2):
        make(tmp_path, step)
    seen = []
    monkeypatch.setattr(checkpoints.shutil, "rmtree", lambda folder: seen.append(is_complete(folder)))
    delete_old(tmp_path, 1, None)
    assert seen == [False]


def test_what_differs_from_the_run_of_a_checkpoint_is_told_by_name(tmp_path):
    write_json(tmp_path / checkpoints.IDENTITY, {"seed": 1, "data": "crc 7", "gone": None})
    assert identity_differences(tmp_path, {"seed": 1, "data": "crc 7", "gone": None}, {}) == []
    differences = identity_differences(tmp_path, {"seed": 2, "data": "crc 7", "new": "x"}, {})
    assert differences == ["new: None in the checkpoint, 'x' now", "seed: 1 in the checkpoint, 2 now"]


def test_a_setting_that_an_early_checkpoint_does_not_know_had_its_default(tmp_path):
    write_json(tmp_path / checkpoints.IDENTITY, {"seed": 1})
    defaults = {"seed": 42, "head": "lm"}
    assert identity_differences(tmp_path, {"seed": 1, "head": "lm"}, defaults) == []
    assert identity_differences(tmp_path, {"seed": 1, "head": "mlp"}, defaults) == [
        "head: 'lm' in the checkpoint, 'mlp' now"
    ]
