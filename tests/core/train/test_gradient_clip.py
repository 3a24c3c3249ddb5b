"""The norm that is logged is the one that is clipped by, whoever holds the gradients."""

from __future__ import annotations

import paddle
import pytest

from llm.core.train.gradient_clip import ExactClip, UpdateSkipped

VALUES = [3.0, 0.0], [[4.0]], [12.0, 0.0]  # 9, 16 and 144: a norm of 13


def gradients(dtype: str = "float32") -> list:
    """(parameter, gradient) three times; a fourth parameter has none."""
    pairs = [(paddle.zeros_like(g), g) for g in (paddle.to_tensor(values, dtype=dtype) for values in VALUES)]
    return [*pairs, (paddle.zeros([2]), None)]


def clip(pairs: list, max_norm: float = 1.0, copies=lambda parameter: 1, norm_of=lambda squares: squares**0.5) -> float:
    """Clips in place; returns the sum of squares that this rank told the others."""
    told = []

    def settle(squares: float) -> float:
        told.append(squares)
        return norm_of(squares)

    assert ExactClip(max_norm, copies, settle)(pairs) is pairs
    (squares,) = told
    return squares


def values_of(pairs: list) -> list:
    return [gradient.tolist() for _, gradient in pairs if gradient is not None]


def test_a_gradient_longer_than_max_norm_is_shortened_to_it():
    pairs = gradients()
    assert clip(pairs, max_norm=6.5) == 169.0
    assert values_of(pairs) == [[1.5, 0.0], [[2.0]], [6.0, 0.0]]
    assert pairs[3][1] is None


@pytest.mark.parametrize("max_norm", [0.0, 13.0, 20.0])
def test_a_gradient_within_max_norm_stays_and_0_clips_nothing(max_norm):
    pairs = gradients()
    clip(pairs, max_norm)
    assert values_of(pairs) == list(VALUES)


def test_a_norm_of_0_divides_nothing():
    pairs = [(parameter, gradient * 0.0) for parameter, gradient in gradients()[:3]]
    assert clip(pairs, norm_of=lambda squares: 0.0) == 0.0
    assert values_of(pairs) == [[0.0, 0.0], [[0.0]], [0.0, 0.0]]


def test_copies_are_counted_once_among_all_ranks():
    """Two ranks hold the first gradient, each tells a half; another rank counts the second; all are clipped here."""
    pairs = gradients()
    copies = {id(pairs[0][0]): 2, id(pairs[1][0]): 0, id(pairs[2][0]): 1}
    assert clip(pairs, 6.5, lambda parameter: copies[id(parameter)], lambda squares: 13.0) == 9 / 2 + 144
    assert values_of(pairs)[1] == [[2.0]]


def test_a_rank_without_gradients_tells_0():
    assert clip([(paddle.zeros([2]), None)]) == 0.0
    assert clip(gradients(), copies=lambda parameter: 0, norm_of=lambda squares: 13.0) == 0.0


def test_the_norm_of_all_ranks_decides_not_that_of_this_one():
    pairs = gradients()
    clip(pairs, max_norm=13.0, norm_of=lambda squares: 26.0)
    assert values_of(pairs)[1] == [[2.0]]


def test_squares_that_a_half_precision_number_cannot_hold_are_summed_in_float32():
    pairs = [(paddle.zeros([1]), paddle.to_tensor([1000.0], dtype="float16"))]
    assert clip(pairs, max_norm=0.0) == 1e6


def test_an_update_that_is_skipped_finds_its_gradients_unchanged():
    pairs = gradients()

    def skip(squares: float) -> float:
        raise UpdateSkipped("no number")

    with pytest.raises(UpdateSkipped):
        clip(pairs, norm_of=skip)
    assert values_of(pairs) == list(VALUES)
