"""Every loss is its formula, and its gradient that of the formula."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm.alignment.dpo.loss_kinds import OF_PAIRS
from llm.alignment.dpo.losses import LOSSES, LossSettings
from tests.alignment.dpo.direct_losses import loss_of

BETA, SMOOTHING, GAMMA = 0.3, 0.15, 0.7
MEANS = {"kto_pair": (0.8, -0.4)}
STEP = 1e-6


def ratios(loss_type: str) -> tuple[np.ndarray, np.ndarray]:
    """For orpo logarithms of probabilities; hinge away from its corner."""
    random = np.random.default_rng(5)
    u, v = random.normal(0, 3, 40), random.normal(0, 3, 40)
    return (-abs(u) - 0.01, -abs(v) - 0.01) if loss_type == "orpo" else (u, v)


@pytest.mark.parametrize("loss_type", OF_PAIRS)
def test_loss_and_gradient_are_those_of_the_formula(loss_type):
    u, v = ratios(loss_type)
    means = MEANS.get(loss_type, ())
    settings = LossSettings(loss_type, BETA, SMOOTHING, GAMMA, sft_loss_ratio=0.0, normalize_logps=False)
    u_P, v_P = (paddle.to_tensor(values, dtype="float64", stop_gradient=False) for values in (u, v))
    losses_P = LOSSES[loss_type](u_P, v_P, settings, *means)
    losses_P.sum().backward()

    def directly(u, v):
        return np.array([loss_of(loss_type, a, b, BETA, SMOOTHING, GAMMA, *means) for a, b in zip(u, v, strict=True)])

    np.testing.assert_allclose(losses_P.numpy(), directly(u, v), rtol=1e-7)
    of_u = (directly(u + STEP, v) - directly(u - STEP, v)) / (2 * STEP)
    of_v = (directly(u, v + STEP) - directly(u, v - STEP)) / (2 * STEP)
    np.testing.assert_allclose(u_P.grad.numpy(), of_u, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(v_P.grad.numpy(), of_v, rtol=1e-5, atol=1e-8)


def test_the_robust_loss_is_unbiased():
    """Its mean over labels of which a share is turned round is the sigmoid loss of the true ones."""
    u, v = (paddle.to_tensor(values) for values in ratios("robust"))
    settings = LossSettings("robust", BETA, SMOOTHING, GAMMA, 0.0, False)
    robust = LOSSES["robust"]
    mean = (1 - SMOOTHING) * robust(u, v, settings) + SMOOTHING * robust(v, u, settings)
    np.testing.assert_allclose(mean.numpy(), LOSSES["sigmoid"](u, v, settings).numpy(), rtol=1e-12)


@pytest.mark.parametrize("loss_type", OF_PAIRS)
def test_far_pairs_have_a_finite_loss_and_gradient(loss_type):
    if loss_type == "orpo":
        far = paddle.to_tensor([[0.0, -1e4], [-1e4, 0.0]], dtype="float64")
    else:
        far = paddle.to_tensor([[-1e4, 1e4], [1e4, -1e4]], dtype="float64")
    u_P, v_P = far[0], far[1]
    u_P.stop_gradient = v_P.stop_gradient = False
    settings = LossSettings(loss_type, BETA, SMOOTHING, GAMMA, 0.0, False)
    losses_P = LOSSES[loss_type](u_P, v_P, settings, *MEANS.get(loss_type, ()))
    losses_P.sum().backward()
    assert all(np.isfinite(found.numpy()).all() for found in (losses_P, u_P.grad, v_P.grad))
