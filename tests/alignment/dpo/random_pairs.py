"""Random groups of ranked answers, and what a policy makes of them pair by pair."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import paddle

from llm.core.model import forward
from llm.core.rows.batch import collate
from llm.core.rows.packing import choose_packing
from llm.core.rows.prefix_tree import grow_trees
from llm.core.text.answers import NO_TARGET, Answer
from llm.core.text.encoding import Pair

MAX_SEQ_LEN = 128
# (prefix_sharing, zero_padding, greedy_zero_padding)
PACKINGS = [(False, False, False), (True, False, False), (True, True, False), (True, True, True), (False, True, True)]


def random_pairs(seed: int) -> list[Pair]:
    """Groups of two to four answers to a prompt, which begin alike or continue one another; each better one with each
    worse one."""
    random, pairs = np.random.default_rng(seed), []
    for _ in range(random.integers(1, 4)):
        prompt = random.integers(10, 300, random.integers(1, 12))
        texts = [random.integers(10, 300, random.integers(1, 10)) for _ in range(3)]
        group: dict[bytes, Answer] = {}
        for _ in range(random.integers(2, 5)):
            ids = np.concatenate([prompt, *(texts[n] for n in random.integers(0, 3, random.integers(1, 4)))])
            scored = np.arange(len(prompt) - 1, len(ids) - 1)
            group.setdefault(ids.tobytes(), Answer(ids.astype("int32"), scored, NO_TARGET, len(prompt), 0.0))
        weight = float(random.choice([1.0, 2.5]))
        pairs += [Pair(better, worse, 0.0, weight) for better, worse in combinations(group.values(), 2)]
    return pairs


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


def packed(policy, rows, batch_size: int, objective) -> tuple[float, np.ndarray]:
    policy.clear_gradients()
    total = 0.0
    for start in range(0, len(rows), batch_size):
        arrays = collate(rows[start : start + batch_size], pad_id=0)
        batch = {name: paddle.to_tensor(array) for name, array in arrays.items()}
        loss, _ = objective.loss_and_statistics(objective.outputs(policy, batch), batch)
        loss.backward()
        total += float(loss)
    return total, gradients_of(policy)
