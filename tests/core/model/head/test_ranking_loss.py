"""The loss that ranks the steps of solutions, against its formula and against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.core.model.head.losses import ranking_loss
from tests.core import numpy_forward

STEPS = st.lists(st.tuples(st.floats(-8, 8), st.booleans()), min_size=1, max_size=7)
quick = settings(max_examples=40, deadline=None)


def losses(solutions: list[list[tuple[float, bool]]], margin: float):
    """(the loss of every step's solution, the gradients of the rewards of their sum)"""
    rewards, right = zip(*(step for steps in solutions for step in steps), strict=True)
    rewards_M = paddle.to_tensor(rewards, dtype="float32", stop_gradient=False)
    numbers_M = paddle.to_tensor(np.repeat(np.arange(len(solutions)), list(map(len, solutions))) + 3)
    found_M = ranking_loss(rewards_M, paddle.to_tensor(right), numbers_M, margin)
    found_M.sum().backward()
    return found_M.numpy(), rewards_M.grad.numpy()


def by_formula(steps: list[tuple[float, bool]], margin: float) -> float:
    rewards_T, right_T = (np.array(column) for column in zip(*steps, strict=True))
    return numpy_forward.ranking_loss(rewards_T, right_T, margin)


@quick
@given(st.lists(STEPS, min_size=1, max_size=4), st.sampled_from([0.0, 2.0, 4.0]))
def test_every_step_has_the_loss_of_its_solution(solutions, margin):
    found, _ = losses(solutions, margin)
    expected = [by_formula(steps, margin) for steps in solutions for _ in steps]
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


@quick
@given(st.lists(STEPS, min_size=1, max_size=3))
def test_gradients_are_the_slopes_of_the_formula(solutions):
    _, found = losses(solutions, margin=2.0)
    slopes, tiny = [], 1e-5
    for steps in solutions:
        for number, (reward, right) in enumerate(steps):
            moved = [[*steps[:number], (reward + way, right), *steps[number + 1 :]] for way in (tiny, -tiny)]
            up, down = (by_formula(one, 2.0) for one in moved)
            slopes.append(len(steps) * (up - down) / (2 * tiny))
    np.testing.assert_allclose(found, slopes, rtol=1e-3, atol=1e-4)


def test_small_solutions_by_hand():
    (all_right,), _ = losses([[(0.0, True)]], 4.0)
    assert all_right == pytest.approx(math.log(2))  # e^0 / (e^0 + 1): no root where nothing is wrong
    (all_wrong,), _ = losses([[(-4.0, False)]], 4.0)
    assert all_wrong == pytest.approx(math.log(2))  # the root alone, against e^(-4 + 4)
    found, _ = losses([[(1.0, True), (2.0, True), (-1.0, False)]], 0.0)
    e = math.exp
    wrong = e(-1)
    terms = [1 / (1 + wrong), e(1) / (e(1) + 1 + wrong), e(2) / (e(2) + 1 + e(1) + wrong)]
    assert found == pytest.approx([-np.log(terms).mean()] * 3)


def test_rewards_of_any_size_have_a_loss_and_a_gradient():
    found, gradients = losses([[(300.0, True), (-300.0, False), (200.0, False), (-250.0, True)]], 4.0)
    # the root against 204, the first step against nothing as large, the last one against the first
    assert found == pytest.approx([(204 + 0 + 550) / 3] * 4, rel=1e-6)
    assert np.isfinite(gradients).all()


def test_a_reward_that_is_not_a_number_is_not_hidden():
    for right in (True, False):
        found, _ = losses([[(math.nan, right), (1.0, True)], [(1.0, True)]], 4.0)
        assert np.isnan(found[:2]).all() and np.isfinite(found[2])
