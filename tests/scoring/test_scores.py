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


def test_the_ends_of_an_interval_are_scores_of_their_own():
    scores = Scores(np.zeros(2), interval=np.array([[-3.0, -1.0], [1.0, 2.0]]))
    assert scores.low.min == pytest.approx(1 / (1 + math.exp(3))) and scores.high.last == pytest.approx(0.880797)
    written = scores.as_dict()
    assert written["low"] == [0.047426, 0.268941] and written["high"] == [0.731059, 0.880797]
    of_answer = Scores(np.zeros(1), of_steps=False, interval=np.array([[-1.0], [2.0]])).as_dict()
    assert of_answer == {"score": 0.5, "reward": 0.0, "low": 0.268941, "high": 0.880797}


def test_a_step_on_the_threshold_is_not_right():
    assert Scores(np.zeros(1)).first_below(0.5) == 0


def test_extreme_scores_stay_finite():
    scores = Scores(np.array([800.0, -800.0, 40.0]))
    assert scores.steps == [1.0, 0.0, 1.0] and scores.product == 0.0 and scores.sum_of_log_odds == 40.0


def test_an_answer_has_one_score_and_a_reward():
    assert Scores(np.array([2.0]), of_steps=False).as_dict() == {"score": 0.880797, "reward": 2.0}
