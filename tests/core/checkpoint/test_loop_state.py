"""Random numbers and the schedule of a checkpoint: JSON, from which every generator goes on as it would have."""

from __future__ import annotations

import random

import numpy as np
import paddle
import pytest

from llm.core import patches
from llm.core.checkpoint import loop_state
from llm.core.files import read_json, write_json


def drawn() -> list[float]:
    return [random.random(), random.gauss(0, 1), np.random.random(), np.random.normal(), paddle.rand([1]).item()]


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of two ranks, and what the second one drew next."""
    paddle.seed(5)
    first = loop_state.of_rank()
    drawn()
    second = loop_state.of_rank()
    loop_state.save(tmp_path, [first, second], {"last_epoch": 3, "last_lr": np.float64(3e-4)})
    return tmp_path, drawn()


def test_every_generator_goes_on(saved):
    folder, expected = saved
    loop_state.restore_random(folder, rank=1, ranks=2)
    assert drawn() == expected
    assert loop_state.schedule_of(folder) == {"last_epoch": 3, "last_lr": 3e-4}


def test_another_number_of_ranks_leaves_them_as_they_are(saved):
    folder, _ = saved
    before = loop_state.of_rank()
    loop_state.restore_random(folder, rank=0, ranks=1)
    assert loop_state.of_rank() == before


@pytest.mark.parametrize("ranks", [1, 2])
def test_older_checkpoints_are_read(tmp_path, ranks):
    """As PaddleNLP's Trainer pickles them."""
    patches.apply_to_library()
    drawn()
    state = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cuda": paddle.get_rng_state(),
        "cpu": paddle.framework.core.default_cpu_generator().get_state(),
    }
    if ranks == 1:
        paddle.save(state, str(tmp_path / "rng_state.pth"))
    else:
        with_tracker = state | {"hybrid_parallel_rng_state_tracker": {"other": paddle.get_rng_state()}}
        paddle.save([with_tracker, with_tracker], str(tmp_path / "rng_state_2.pth"))
    paddle.save({"last_epoch": 3, "last_lr": 3e-4}, str(tmp_path / "scheduler.pdparams"))
    expected = drawn()
    loop_state.restore_random(tmp_path, rank=ranks - 1, ranks=ranks)
    assert drawn() == expected
    assert loop_state.schedule_of(tmp_path) == {"last_epoch": 3, "last_lr": 3e-4}


def test_pickles_of_the_library_are_deleted(tmp_path):
    for name in ("rng_state.pth", "rng_state_2.pth", "scheduler.pdparams"):
        (tmp_path / name).touch()
    loop_state.save(tmp_path, [loop_state.of_rank()], {})
    assert {path.name for path in tmp_path.iterdir()} == {loop_state.RANDOM, loop_state.SCHEDULE}


@pytest.mark.parametrize(
    "name, value",
    [
        ("python", [3, "1 2", None]),
        ("numpy", ["MT19937", "1 2", 0, 0, 0.0]),
        ("numpy", ["MT19937", " ".join(["1"] * 624), 10**6, 0, 0.0]),
        ("cpu", [-1, 0, 0, "1 2"]),
        ("cpu", None),
    ],
)
def test_a_damaged_state_is_a_message(saved, name, value):
    folder, _ = saved
    states = read_json(folder / loop_state.RANDOM)
    states[1][name] = value
    write_json(folder / loop_state.RANDOM, states)
    with pytest.raises(ValueError, match=f"{loop_state.RANDOM}: this state of random numbers is damaged"):
        loop_state.restore_random(folder, rank=1, ranks=2)


def test_a_state_that_is_given_twice_is_a_message(saved):
    """The library would take the last one."""
    folder, _ = saved
    text = (folder / loop_state.RANDOM).read_text()
    (folder / loop_state.RANDOM).write_text(text.replace('"python":', '"python": 1, "python":'))
    with pytest.raises(ValueError, match="'python' is given twice"):
        loop_state.restore_random(folder, rank=1, ranks=2)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"5", b"[1, 2]", b'{"a": 1, "b": 2}'])
def test_a_file_that_holds_no_states_is_a_message(saved, content):
    folder, _ = saved
    (folder / loop_state.RANDOM).write_bytes(content)
    with pytest.raises(ValueError, match=f"{loop_state.RANDOM}: this state of random numbers is damaged"):
        loop_state.restore_random(folder, rank=1, ranks=2)
    (folder / loop_state.SCHEDULE).write_bytes(content if content != b'{"a": 1, "b": 2}' else b'{"last_lr": NaN}')
    with pytest.raises(ValueError, match=loop_state.SCHEDULE):
        loop_state.schedule_of(folder)
