"""Probabilities of next tokens and their gradients are those of log_softmax of the full logits."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm.core.model.head import chunked_logsumexp
from llm.core.model.head.next_tokens import NextTokens


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("at_a_time", [1, 3, 100])
def test_values_and_gradients_are_those_of_the_full_logits(monkeypatch, tied, at_a_time):
    vocabulary, hidden, positions = 11, 5, 7
    monkeypatch.setattr(chunked_logsumexp, "LOGITS_AT_A_TIME", at_a_time * vocabulary)
    random = np.random.default_rng(0)
    weight = random.normal(size=(vocabulary, hidden) if tied else (hidden, vocabulary)).astype("float32")
    states = random.normal(size=(positions, hidden)).astype("float32")
    upstream = paddle.to_tensor(random.normal(size=positions).astype("float32"))
    logits = states @ (weight.T if tied else weight)
    ids = np.where(np.arange(positions) % 2, logits.argmax(1), random.integers(0, vocabulary, positions))
    results = []
    for mine in (True, False):
        h, w = paddle.to_tensor(states, stop_gradient=False), paddle.to_tensor(weight, stop_gradient=False)
        if mine:
            log_p, likeliest = NextTokens.apply(h, w, paddle.to_tensor(ids), tied, None)
            assert likeliest.numpy().tolist() == (logits.argmax(1) == ids).tolist()
        else:
            whole = paddle.nn.functional.log_softmax(paddle.matmul(h, w, transpose_y=tied), axis=-1)
            log_p = paddle.take_along_axis(whole, paddle.to_tensor(ids).unsqueeze(-1), 1).squeeze(-1)
        (log_p * upstream).sum().backward()
        results.append([log_p.numpy(), h.grad.numpy(), w.grad.numpy()])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_frozen_head_gets_no_gradient():
    h, w = paddle.ones([2, 3]), paddle.ones([3, 4])
    h.stop_gradient = False
    log_p, _ = NextTokens.apply(h, w, paddle.to_tensor([0, 1]), False, None)
    log_p.sum().backward()
    assert w.grad is None and h.grad is not None
