"""Products of numbers rounded to bfloat16, against numpy, in every way that this processor has."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from ml_dtypes import bfloat16

from llm.core.cpu.bfloat16 import onednn, rounding
from llm.core.cpu.bfloat16.products import ByOneDnn, InFloat32, Multiplier
from tests.core.cpu.bfloat16.onednn_in_float32 import OneDnnInFloat32

ROWS, DEPTH, COLUMNS = (3, 5), 40, 24


def round_in_numpy(x: np.ndarray) -> np.ndarray:
    return x.astype(bfloat16).astype("float32")


@pytest.fixture(params=[InFloat32, ByOneDnn, OneDnnInFloat32], ids=lambda way: way.__name__)
def way(request):
    if request.param is ByOneDnn and (why := onednn.why_not()):
        pytest.skip(f"oneDNN makes no products in bfloat16 on this processor: {why}")
    return request.param()


@pytest.fixture
def rounds(way):
    return (lambda x: x) if isinstance(way, OneDnnInFloat32) else round_in_numpy


def some(*shape: int, seed: int = 0, trains: bool = True):
    values = np.random.default_rng([seed, *shape]).standard_normal(shape, "float32")
    return paddle.to_tensor(values, stop_gradient=not trains)


def assert_near(found, expected: np.ndarray, terms: int) -> None:
    """Sums of products of float32 numbers, in any order."""
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6 * terms)


def test_a_product_and_its_gradients_are_those_of_rounded_numbers(way, rounds):
    x, weight = some(*ROWS, DEPTH), some(DEPTH, COLUMNS)
    upstream = some(*ROWS, COLUMNS, seed=1, trains=False)
    y = Multiplier(way)(x, weight)
    y.backward(upstream)
    x_MK, weight_KN, upstream_MN = (rounds(t.numpy().reshape([-1, t.shape[-1]])) for t in (x, weight, upstream))
    assert y.shape == [*ROWS, COLUMNS]
    assert_near(y.reshape([-1, COLUMNS]), x_MK @ weight_KN, DEPTH)
    assert_near(x.grad.reshape([-1, DEPTH]), upstream_MN @ weight_KN.T, COLUMNS)
    assert_near(weight.grad, x_MK.T @ upstream_MN, 15)


@pytest.mark.parametrize(("x_trains", "weight_trains"), [(True, False), (False, True)])
def test_what_is_frozen_gets_no_gradient(way, x_trains, weight_trains):
    x, weight = some(4, DEPTH, trains=x_trains), some(DEPTH, COLUMNS, trains=weight_trains)
    Multiplier(way)(x, weight).sum().backward()
    assert (x.grad is not None, weight.grad is not None) == (x_trains, weight_trains)


def test_a_new_weight_counts_from_the_update_on(way, rounds):
    """Rows of several lengths, before and after."""
    x, weight = some(4, DEPTH), some(DEPTH, COLUMNS)
    multiply = Multiplier(way)
    for _ in range(2):
        for rows in (1, 4, 300):
            x = some(rows, DEPTH)
            y = multiply(x, weight)
            y.sum().backward()
            assert_near(y, rounds(x.numpy()) @ rounds(weight.numpy()), DEPTH)
            expected = np.ones([rows, COLUMNS], "float32") @ rounds(weight.numpy()).T
            assert_near(x.grad, expected, COLUMNS)
        weight.set_value(some(DEPTH, COLUMNS, seed=5))
        multiply.forget()


def test_a_weight_is_packed_once_for_all_micro_batches(monkeypatch):
    packed = []
    pack = onednn.Product.pack
    monkeypatch.setattr(onednn.Product, "pack", lambda *arguments: packed.append(1) or pack(*arguments))
    multiply, weight = Multiplier(OneDnnInFloat32()), some(DEPTH, COLUMNS)
    for seed in range(3):
        multiply(some(64, DEPTH, seed=seed), weight).sum().backward()
    assert len(packed) == 2  # for the product, and for the gradient of x


def test_layers_that_multiply_the_same_numbers_share_the_rounded_ones(monkeypatch):
    kept = []
    multiply = Multiplier(way := InFloat32())
    monkeypatch.setattr(way, "narrow", lambda x: kept.append(x.shape) or rounding.to_bfloat16(x))
    x = some(4, DEPTH, trains=False)
    first, second = (multiply(x, some(DEPTH, COLUMNS, seed=seed)) for seed in (1, 2))
    assert kept == [[4, DEPTH]] and not paddle.allclose(first, second)
    x.add_(paddle.ones_like(x))
    multiply(x, some(DEPTH, COLUMNS))
    assert len(kept) == 2


NUMBERS = [0.0, -0.0, 1.0, 1.00390625, 1.01171875, 3.4e38, -3.4e38, 1e-40, 1e-45, float("inf"), -float("inf")]


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "without a compiler"])
def test_numbers_are_rounded_as_numpy_rounds_them(compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(rounding, "kernels", lambda: (None, ""))
    x = np.concatenate([np.array(NUMBERS, "float32"), np.random.default_rng(0).standard_normal(1000, "float32")])
    expected = x.astype(bfloat16)
    narrow = rounding.to_bfloat16(paddle.to_tensor(x))
    np.testing.assert_array_equal(narrow.numpy().view("uint16"), expected.view("uint16"))
    np.testing.assert_array_equal(rounding.to_float32(narrow).numpy(), expected.astype("float32"))
    np.testing.assert_array_equal(rounding.rounded(paddle.to_tensor(x)).numpy(), expected.astype("float32"))
    nan = paddle.to_tensor([float("nan"), -float("nan")])
    for found in (rounding.rounded(nan), rounding.to_float32(rounding.to_bfloat16(nan))):
        assert paddle.isnan(found).all()
