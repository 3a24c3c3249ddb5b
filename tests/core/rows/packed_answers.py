"""Answers one by one, and the same answers merged, packed and padded: what a model makes of them."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm.core.model import forward
from llm.core.rows.batch import collate
from llm.core.rows.packing import choose_packing
from llm.core.rows.prefix_tree import grow_trees
from llm.core.text.answers import Answer

MAX_SEQ_LEN = 128
# (prefix_sharing, zero_padding, greedy_zero_padding)
PACKINGS = [(False, False, False), (True, False, False), (True, True, False), (True, True, True), (False, True, True)]


def rows_of(examples: list, packing) -> list:
    prefix_sharing, zero_padding, greedy = packing
    trees = grow_trees(examples, MAX_SEQ_LEN, prefix_sharing)
    return list(choose_packing(zero_padding, greedy, stream=False)(trees, MAX_SEQ_LEN))


def log_p_of(model, answer: Answer):
    """Of the answer alone: the sum of log_softmax over the whole vocabulary, in float64."""
    ids = paddle.to_tensor(answer.ids.astype("int64"))
    length = len(answer)
    positions, end = paddle.arange(length).unsqueeze(0), paddle.full([1, length], length, "int32")
    hidden = forward.hidden_states(model, ids.unsqueeze(0), positions, end)[0]
    log_p = paddle.nn.functional.log_softmax(hidden @ model.lm_head.weight, axis=-1).astype("float64")
    first = int(answer.scored[0])
    return paddle.take_along_axis(log_p[first:-1], ids[first + 1 :].unsqueeze(-1), 1).sum()


def gradients_of(model) -> np.ndarray:
    return np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters() if p.grad is not None])


def assert_any_packing_gives(
    loss: float,
    gradients: np.ndarray,
    model,
    examples: list,
    objective,
    batch_size: int,
    weight: float,
    packings=PACKINGS,
) -> None:
    """Those of the examples one by one, which weigh so much together."""
    for packing in packings:
        rows = rows_of(examples, packing)
        assert sum(row.weight for row in rows) == pytest.approx(weight)
        mine, my_gradients = packed(model, rows, batch_size, objective)
        assert mine == pytest.approx(loss, rel=1e-5), packing
        assert np.linalg.norm(my_gradients - gradients) < 1e-5 * np.linalg.norm(gradients), packing


def packed(model, rows, batch_size: int, objective) -> tuple[float, np.ndarray]:
    model.clear_gradients()
    total = 0.0
    for start in range(0, len(rows), batch_size):
        arrays = collate(rows[start : start + batch_size], pad_id=0)
        batch = {name: paddle.to_tensor(array) for name, array in arrays.items()}
        loss, _ = objective.loss_and_statistics(objective.outputs(model, batch), batch)
        loss.backward()
        total += float(loss)
    return total, gradients_of(model)
