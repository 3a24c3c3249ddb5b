"""The normaliser over the whole vocabulary is logsumexp of the logits, with gradients, some positions at a time."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm.core.model.head import chunked_logsumexp


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("at_a_time", [1, 3, 100])
def test_value_and_gradients_are_those_of_the_full_logits(monkeypatch, tied, at_a_time):
    vocabulary, hidden, positions = 11, 5, 7
    monkeypatch.setattr(chunked_logsumexp, "LOGITS_AT_A_TIME", at_a_time * vocabulary)
    random = np.random.default_rng(0)
    weight = random.normal(size=(vocabulary, hidden) if tied else (hidden, vocabulary)).astype("float32")
    states, upstream = random.normal(size=(positions, hidden)).astype("float32"), random.normal(size=positions)
    results = []
    for function in (
        lambda h, w: chunked_logsumexp.log_normaliser(h, w, tied),
        lambda h, w: paddle.logsumexp(paddle.matmul(h, w, transpose_y=tied), axis=-1),
    ):
        h, w = paddle.to_tensor(states, stop_gradient=False), paddle.to_tensor(weight, stop_gradient=False)
        value = function(h, w)
        (value * paddle.to_tensor(upstream.astype("float32"))).sum().backward()
        results.append([value.numpy(), h.grad.numpy(), w.grad.numpy()])
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_large_logits_overflow_nothing():
    states = paddle.to_tensor([[300.0, 0.0]])
    weight = paddle.to_tensor([[1.0, -1.0], [0.0, 0.0]])
    assert chunked_logsumexp.log_normaliser(states, weight, False).tolist() == pytest.approx([300.0])
