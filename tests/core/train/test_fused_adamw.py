"""Updates in one pass over memory make the weights, moments and checkpoints that Paddle's AdamW makes."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm.core.cpu.kernels import build, operators
from llm.core.train.fused_adamw import fuse
from llm.core.train.gradient_clip import ExactClip, UpdateSkipped, squares_of

pytestmark = pytest.mark.skipif(build.kernels()[0] is None, reason=build.kernels()[1])

UPDATES = 5
SHAPES = {"embedding": [300, 64], "matrix": [1025, 70], "bias": [1025], "norm": [1], "frozen": [8]}
DECAYED = ("embedding", "matrix", "frozen")
MAX_NORM, RATE = 1.0, 0.01


def library_clip(pairs) -> list:
    """An operation of Paddle's for each gradient."""
    norm = squares_of([(gradient, 1) for _, gradient in pairs]) ** 0.5
    for _, gradient in pairs:
        gradient.scale_(MAX_NORM / norm if norm > MAX_NORM else 1.0)
    return pairs


def start(fused: bool, dtype: str = "float32", **settings):
    """(weights by name, optimiser, schedule)"""
    draw = np.random.default_rng(0)
    weights = {}
    for name, shape in SHAPES.items():
        numbers = draw.standard_normal(shape).astype("float32")
        weights[name] = paddle.create_parameter(shape, dtype, default_initializer=paddle.nn.initializer.Constant(0.0))
        weights[name].set_value(paddle.to_tensor(numbers).astype(dtype))
        weights[name].stop_gradient = name == "frozen"
    schedule = paddle.optimizer.lr.LambdaDecay(RATE, lambda update: min(update / 2, 1 - update / 10))
    decayed = [weights[name].name for name in DECAYED]
    parameters = [weight for weight in weights.values() if not weight.stop_gradient]
    optimizer = paddle.optimizer.AdamW(
        schedule, parameters=parameters, apply_decay_param_fun=lambda name: name in decayed, **settings
    )
    if fused:
        fuse(optimizer, ExactClip(MAX_NORM, lambda parameter: 1, lambda squares: squares**0.5))
    else:
        optimizer._grad_clip = library_clip
    return weights, optimizer, schedule


def give_gradients(weights: dict, update: int) -> None:
    """Large and small ones in turns, so that not all are clipped. The embedding's rows of later tokens have none."""
    draw = np.random.default_rng([1, update])
    for name, weight in weights.items():
        if weight.stop_gradient:
            continue
        numbers = draw.standard_normal(SHAPES[name]) * (1.0 if update % 2 else 1e-3)
        if name == "embedding":
            numbers[20 * (update + 1) :] = 0
        gradient = paddle.to_tensor(numbers.astype("float32")).astype(weight.dtype)
        (weight * gradient).sum().backward()


def train(weights: dict, optimizer, schedule, updates=range(UPDATES)) -> None:
    for update in updates:
        give_gradients(weights, update)
        optimizer.step()
        schedule.step()
        optimizer.clear_grad(set_to_zero=False)


def state_of(weights: dict, optimizer) -> dict[str, np.ndarray]:
    """All numbers, under names that do not count the weights of this process."""
    state = {name: weight.astype("float32").numpy() for name, weight in weights.items()}
    of = {weight.name: name for name, weight in weights.items()}
    for kind, by_weight in optimizer._accumulators.items():
        state |= {f"{of[name]} {kind}": value.numpy() for name, value in by_weight.items()}
    return state


def assert_equal(one: dict, other: dict) -> None:
    """But for the rounding of single numbers, which in Paddle depends on the processor."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_allclose(other[name], value, rtol=5e-7, atol=5e-7 * RATE, err_msg=name)


@pytest.mark.parametrize(
    "settings",
    [
        {"weight_decay": 0.1},
        {"weight_decay": 0.0, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6},
        {"weight_decay": 0.1, "epsilon": 0.0, "beta1": 0.0},
    ],
    ids=["usual", "other betas", "no epsilon"],
)
def test_weights_and_moments_are_those_of_the_library(settings):
    expected, fused = start(False, **settings), start(True, **settings)
    for run in (expected, fused):
        train(*run)
    assert_equal(state_of(*expected[:2]), state_of(*fused[:2]))
    before = start(True)[0]
    for name, weight in fused[0].items():
        assert (weight.numpy() != before[name].numpy()).any() != (name == "frozen")


@pytest.mark.parametrize("first", [False, True], ids=["of the library", "of the kernel"])
def test_either_goes_on_from_a_checkpoint_of_the_other(first, tmp_path):
    expected = start(False)
    train(*expected)
    saved, resumed = start(first), start(not first)
    train(*saved, updates=range(3))
    names = dict(zip((w.name for w in saved[0].values()), (w.name for w in resumed[0].values()), strict=True))
    paddle.save(saved[1].state_dict(), str(tmp_path / "state.pdopt"))
    state = paddle.load(str(tmp_path / "state.pdopt"))
    renamed = {}
    for key, value in state.items():
        old = next((name for name in names if key.startswith(f"{name}_")), None)
        renamed[key if old is None else names[old] + key[len(old) :]] = value
    for name, weight in resumed[0].items():
        weight.set_value(saved[0][name])
    resumed[1].set_state_dict(renamed)
    train(*resumed, updates=range(3, UPDATES))
    assert_equal(state_of(*expected[:2]), state_of(*resumed[:2]))


def test_weights_of_another_type_are_clipped_and_left_to_the_library():
    expected, fused = (start(is_fused, "float64") for is_fused in (False, True))
    for run in (expected, fused):
        train(*run)
    assert_equal(state_of(*expected[:2]), state_of(*fused[:2]))


def test_an_update_that_is_skipped_changes_nothing():
    weights, optimizer, schedule = start(True)
    train(weights, optimizer, schedule)
    before = state_of(weights, optimizer)

    def skip(squares: float) -> float:
        raise UpdateSkipped("no number")

    optimizer._grad_clip.settle = skip
    with pytest.raises(UpdateSkipped):
        train(weights, optimizer, schedule)
    assert_equal(before, state_of(weights, optimizer))


@pytest.mark.parametrize("size", [0, 1, 15, 1024, 100_001])
def test_squares_are_summed_alike_whatever_the_threads(size, monkeypatch):
    numbers = np.random.default_rng(size).standard_normal(size).astype("float32")
    sums = set()
    for threads in (1, 2, 3):
        monkeypatch.setattr(operators, "threads", lambda count=threads: count)
        sums.add(operators.sum_of_squares(paddle.to_tensor(numbers)))
    assert len(sums) == 1
    assert sums.pop() == pytest.approx(np.square(numbers, dtype="float64").sum(), rel=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_a_square_that_is_no_number_is_not_lost(bad):
    numbers = np.ones(5000, "float32")
    numbers[4321] = bad
    assert not np.isfinite(operators.sum_of_squares(paddle.to_tensor(numbers)))
