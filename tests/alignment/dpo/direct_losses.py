"""The losses of docs/dpo.md as they are written there, of one pair, in plain Python."""

from __future__ import annotations

from math import exp, log


def sigma(x: float) -> float:
    return 1 / (1 + exp(-x))


def loss_of(loss_type: str, u: float, v: float, beta: float, smoothing: float, gamma: float, mean_u=0.0, mean_v=0.0):
    x, s = beta * (u - v), smoothing
    if loss_type == "sigmoid":
        return -log(sigma(x))
    if loss_type == "conservative":
        return -(1 - s) * log(sigma(x)) - s * log(sigma(-x))
    if loss_type == "robust":
        return (-(1 - s) * log(sigma(x)) + s * log(sigma(-x))) / (1 - 2 * s)
    if loss_type == "hinge":
        return max(0.0, 1 - x)
    if loss_type == "ipo":
        return (u - v - 1 / (2 * beta)) ** 2
    if loss_type == "nca_pair":
        return -log(sigma(beta * u)) - log(sigma(-beta * u)) / 2 - log(sigma(-beta * v)) / 2
    if loss_type == "exo_pair":
        p = sigma(x)
        return p * log(p / (1 - s)) + (1 - p) * log((1 - p) / s)
    if loss_type == "simpo":
        return -log(sigma(x - gamma))
    if loss_type == "orpo":
        odds_u, odds_v = exp(u) / (1 - exp(u)), exp(v) / (1 - exp(v))
        return -u - beta * log(sigma(log(odds_u / odds_v)))
    if loss_type == "kto_pair":
        return (1 - sigma(beta * (u - max(0, mean_v)))) / 2 + (1 - sigma(beta * (max(0, mean_u) - v))) / 2
    raise KeyError(loss_type)
