"""Pickles: what paddle.save writes is read as before, and nothing that a file names is ever called."""

from __future__ import annotations

import collections
import io
import os
import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest

from llm.core import patches, pickles
from llm.core.model import weights


class Planted:
    """Loading a pickle of it makes a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def guarded(content: bytes):
    return pickles.load(io.BytesIO(content))


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_state_comes_back_as_it_was_saved(tmp_path, protocol):
    state = {
        "float32": paddle.randn([3, 4]),
        "bfloat16": paddle.randn([2, 2]).astype("bfloat16"),
        "numbers": paddle.arange(5),
        "number": paddle.to_tensor(2.5),
    }
    paddle.save(state, str(tmp_path / "state.pdparams"), protocol=protocol)
    read = pickles.load_state(tmp_path / "state.pdparams")
    expected = paddle.load(str(tmp_path / "state.pdparams"), return_numpy=True)
    assert read.keys() == expected.keys()
    for name, array in expected.items():
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array), name


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize(
    "value",
    [
        {"last_epoch": 3, "last_lr": 3e-4, "verbose": False, "none": None},
        [1, -(2**70), 0.1, "text", b"\x00\xff", (1, (2, [3]))],
        np.float64(0.1),
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype=">i4"),
        np.array(7),
    ],
)
def test_plain_values_come_back(protocol, value):
    np.testing.assert_equal(guarded(pickle.dumps(value, protocol)), value)


def test_an_ordered_dictionary_is_read_as_a_dictionary():
    assert guarded(pickle.dumps(collections.OrderedDict(a=1, b=[2]))) == {"a": 1, "b": [2]}


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("place", [lambda x: x, lambda x: {"a": x}, lambda x: {"w": np.array([x], dtype=object)}])
def test_nothing_is_called(tmp_path, protocol, place):
    file = tmp_path / "state.pdparams"
    file.write_bytes(pickle.dumps(place(Planted(tmp_path / "marker")), protocol))
    with pytest.raises(ValueError, match="refused") as refused:
        pickles.load_state(file)
    assert str(file) in str(refused.value)
    assert not (tmp_path / "marker").exists()


def test_the_message_names_what_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(pickle.dumps({"a": Planted(tmp_path / "marker")}, 4))
    with pytest.raises(ValueError, match=r"x is refused: .* holds 'posix.mkdir'.*safetensors"):
        pickles.load_state(tmp_path / "x")


@pytest.mark.parametrize(
    "value, named",
    [
        (eval, "builtins.eval"),
        (np.load, "numpy.load"),
        (pickle.loads, "_pickle.loads"),
        (np.array([None]), "an array of 'O8'"),
        (np.array(["text"]), "an array of 'U4'"),
        (np.zeros(1, [("a", "f4"), ("b", "O")]), "an array of 'V12'"),
        ({1, 2}, ""),
        (np.dtype("f4"), "_Numbers"),
        (dict, "builtins.dict"),
    ],
)
def test_what_is_not_plain_is_refused(value, named):
    with pytest.raises(ValueError, match="is refused") as refused:
        guarded(pickle.dumps(value, 4))
    assert named in str(refused.value)


def test_a_file_that_is_cut_short_is_named_at_any_point(tmp_path):
    file = tmp_path / "state.pdparams"
    paddle.save({"a": paddle.ones([4])}, str(file))
    content = file.read_bytes()
    for size in range(len(content)):
        file.write_bytes(content[:size])
        with pytest.raises(ValueError, match="could not be read") as told:
            pickles.load_state(file)
        assert str(file) in str(told.value)


def test_random_changes_end_in_a_value_or_a_message(tmp_path):
    paddle.save({"a": paddle.ones([4]), "b": {"c": 1, "d": [paddle.ones([2])]}}, str(tmp_path / "state"))
    content, numbers = (tmp_path / "state").read_bytes(), np.random.default_rng(1)
    for _ in range(3000):
        changed = bytearray(content)
        for place in numbers.integers(len(content), size=2):
            changed[place] = numbers.integers(256)
        try:
            guarded(bytes(changed))
        except ValueError as error:
            assert "refused" in str(error) or "could not be read" in str(error)


def test_paddle_loads_through_the_guard(tmp_path):
    patches.apply_to_library()
    file = tmp_path / "optimizer.pdopt"
    file.write_bytes(pickle.dumps({"a": Planted(tmp_path / "marker")}, 4))
    for return_numpy in (True, False):
        with pytest.raises(ValueError, match="mkdir") as refused:
            paddle.load(str(file), return_numpy=return_numpy)
        assert str(file) in str(refused.value)
    assert not (tmp_path / "marker").exists()


def test_an_optimisers_state_keeps_its_names(tmp_path):
    patches.apply_to_library()
    moment = paddle.ones([2])
    moment.name = "linear_0.w_0_moment1_0"
    master = paddle.ones([2])
    state = {moment.name: moment, "master_weights": {"linear_0.w_0": master}, "LR_Scheduler": {"last_epoch": 3}}
    paddle.save(state, str(tmp_path / "optimizer.pdopt"))
    read = paddle.load(str(tmp_path / "optimizer.pdopt"))
    assert read[moment.name].name == moment.name
    assert read["master_weights"]["linear_0.w_0"].name == master.name
    assert read["LR_Scheduler"] == {"last_epoch": 3}


@pytest.mark.parametrize("name", ["model_state.pdparams", "model-00001-of-00002.pdparams", "weights.bin", "weights"])
def test_weights_are_read_without_the_patches(tmp_path, name):
    """Whatever an index names."""
    (tmp_path / name).write_bytes(pickle.dumps({"a": Planted(tmp_path / "marker")}, 4))
    with pytest.raises(ValueError, match="mkdir"):
        list(weights.stored(tmp_path / name))
    assert not (tmp_path / "marker").exists()
