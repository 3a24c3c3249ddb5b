"""What is made of the scores of the steps."""

import math

import numpy as np
import pytest

from llm.scoring.scores import Scores


def test_aggregates_follow_from_the_steps():
    p = [0.9, 0.2, 0.6]
    scores = Scores(np.log(p) - np.log1p(-np.array(p)))
    assert scores.steps == pytest.approx(p)
    assert (scores.min, scores.last, scores.product) == pytest.approx((0.2, 0.6, 0.108))
    assert scores.mean == pytest.approx(1.7 / 3)
    assert scores.sum_of_log_odds == pytest.approx(sum(math.log(x / (1 - x)) for x in p))
    assert scores.first_below() == 1 and scores.first_below(0.1) is None and scores.first_below(0.95) == 0
    assert set(scores.as_dict()) == {"steps", "min", "last", "product", "mean", "sum_of_log_odds", "first_below"}


def test_a_step_on_the_threshold_is_not_right():
    assert Scores(np.zeros(1)).first_below(0.5) == 0


def test_extreme_scores_stay_finite():
    scores = Scores(np.array([800.0, -800.0, 40.0]))
    assert scores.steps == [1.0, 0.0, 1.0] and scores.product == 0.0 and scores.sum_of_log_odds == 40.0


def test_an_answer_has_one_score_and_a_reward():
    assert Scores(np.array([2.0]), of_steps=False).as_dict() == {"score": 0.880797, "reward": 2.0}
