"""Losses of pairs of answers as pure functions of their log-ratios; loss_kinds.py has the formulas.

Legend: P pairs. u_P and v_P are float64, of the chosen and of the rejected answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import paddle
import paddle.nn.functional as F

from llm.alignment.dpo.loss_kinds import KTO, ORPO, SIGMOID, SIMPO

MOST_LIKELY = -1e-9  # the largest log-probability whose odds are a number


class LossSettings(NamedTuple):
    loss_type: str
    beta: float
    label_smoothing: float
    simpo_gamma: float
    sft_loss_ratio: float
    normalize_logps: bool


def sigmoid(u_P, v_P, settings):
    return F.softplus(-settings.beta * (u_P - v_P))


def conservative(u_P, v_P, settings):
    """A share ε of the preferences is taken to be the wrong way round."""
    right, wrong = sigmoid(u_P, v_P, settings), sigmoid(v_P, u_P, settings)
    return (1 - settings.label_smoothing) * right + settings.label_smoothing * wrong


def robust(u_P, v_P, settings):
    """Its mean over labels of which a share ε is turned round is the sigmoid loss of the true ones."""
    right, wrong = sigmoid(u_P, v_P, settings), sigmoid(v_P, u_P, settings)
    share = settings.label_smoothing
    return ((1 - share) * right - share * wrong) / (1 - 2 * share)


def hinge(u_P, v_P, settings):
    return F.relu(1 - settings.beta * (u_P - v_P))


def ipo(u_P, v_P, settings):
    distance_P = u_P - v_P - 1 / (2 * settings.beta)
    return distance_P * distance_P


def nca_pair(u_P, v_P, settings):
    high_P, low_P = settings.beta * u_P, settings.beta * v_P
    return F.softplus(-high_P) + (F.softplus(high_P) + F.softplus(low_P)) / 2


def exo_pair(u_P, v_P, settings):
    """The Kullback-Leibler divergence of the policy's preference from the label's."""
    log_p_P, log_q_P = -sigmoid(u_P, v_P, settings), -sigmoid(v_P, u_P, settings)
    share = settings.label_smoothing
    chosen_P = log_p_P.exp() * (log_p_P - math.log(1 - share))
    return chosen_P + log_q_P.exp() * (log_q_P - math.log(share))


def simpo(u_P, v_P, settings):
    return F.softplus(settings.simpo_gamma - settings.beta * (u_P - v_P))


def orpo(u_P, v_P, settings):
    return settings.beta * F.softplus(_log_odds(v_P) - _log_odds(u_P)) - u_P


def _log_odds(log_p_P):
    log_p_P = log_p_P.clip(max=MOST_LIKELY)
    return log_p_P - paddle.log(-paddle.expm1(log_p_P))


def kto_pair(u_P, v_P, settings, mean_u, mean_v):
    """`mean_u` and `mean_v` are numbers, of the whole update, and take no gradient."""
    high_P = F.sigmoid(settings.beta * (u_P - max(mean_v, 0.0)))
    low_P = F.sigmoid(settings.beta * (max(mean_u, 0.0) - v_P))
    return (1 - high_P + 1 - low_P) / 2


LOSSES: dict[str, Callable] = {
    SIGMOID: sigmoid,
    "conservative": conservative,
    "robust": robust,
    "hinge": hinge,
    "ipo": ipo,
    "nca_pair": nca_pair,
    "exo_pair": exo_pair,
    SIMPO: simpo,
    ORPO: orpo,
    KTO: kto_pair,
}
