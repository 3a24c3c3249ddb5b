"""Random forests of solutions and pairs, and what a model makes of them in one packing or another."""

from __future__ import annotations

from functools import partial
from itertools import islice

import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, settings

from llm.alignment.rm.flashmask.reward_metrics import step_metrics
from llm.alignment.rm.flashmask.reward_objective import MODEL_INPUTS
from llm.core.model.head.losses import reward_scores
from llm.core.rows.batch import collate
from llm.core.rows.label_weights import weigh_labels
from llm.core.rows.packing import choose_packing
from llm.core.rows.payload import Labels
from llm.core.rows.prefix_tree import grow_trees
from llm.core.text.encoding import Pair, Sequence

MAX_SEQ_LEN = 96
# (prefix_sharing, zero_padding, greedy_zero_padding)
PACKINGS = [(True, False, False), (True, True, False), (True, True, True), (False, True, False), (False, True, True)]
FOREST_AND_PADDED = [(True, True, True), (True, False, False)]
# Each example has up to 18 solutions, and every run of the tests has others.
few = settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
smoothed = partial(weigh_labels, smoothing=0.1, positive_weight=0.4)


def random_solutions(seed: int) -> list[Sequence]:
    """Walks through random trees of some prompts: they share steps, repeat one another, or are alone; labels of the
    same step differ."""
    random, solutions = np.random.default_rng(seed), []
    for _ in range(random.integers(1, 4)):
        prompt = random.integers(10, 300, random.integers(1, 24))
        # step n of branch b: the same tokens wherever it is taken
        steps = [[random.integers(10, 300, random.integers(1, 9)) for _ in range(3)] for _ in range(5)]
        for _ in range(random.integers(1, 7)):
            taken = [options[random.integers(0, 3)] for options in islice(steps, int(random.integers(1, 6)))]
            ids, scored = prompt, []
            for step in taken:
                ids = np.concatenate([ids, step])
                scored.append(len(ids) - 1)
            labels = random.choice([0.0, 1.0, 0.3], len(scored)).astype("float32")
            weight = float(random.choice([1.0, 2.5]))
            solutions.append(Sequence(ids.astype("int32"), np.array(scored), labels, len(prompt), weight))
    return solutions


def random_pairs(seed: int) -> list[Pair]:
    """Pairs of the same solutions, scored at their ends: an answer is in several pairs, on either side."""
    random, pairs = np.random.default_rng(seed), []
    by_prompt: dict[bytes, dict[bytes, Sequence]] = {}
    for s in random_solutions(seed):
        answer = Sequence(s.ids, s.scored[-1:], np.zeros(1, "float32"), s.prompt_len, weight=0.0)
        by_prompt.setdefault(s.ids[: s.prompt_len].tobytes(), {})[s.ids.tobytes()] = answer
    for answers in map(list, (group.values() for group in by_prompt.values())):
        for one, other in zip(answers, answers[1:] + answers[:1], strict=True):
            if one is not other and len(one) + len(other) <= MAX_SEQ_LEN:
                pairs.append(Pair(one, other, float(random.choice([0.0, 0.5])), float(random.choice([1.0, 2.0]))))
    return pairs


def outcome(model, examples, packing, batch_size: int, loss_of, weigh=smoothed):
    """(summed loss, all gradients as one vector, metrics of the labels) over batches of rows."""
    prefix_sharing, zero_padding, greedy = packing
    trees = grow_trees(examples, MAX_SEQ_LEN, prefix_sharing)
    rows = list(choose_packing(zero_padding, greedy, stream=False)(trees, MAX_SEQ_LEN))
    if isinstance(rows[0].payload, Labels):
        rows = list(map(weigh, rows))
    loss, parts, first_solution = 0.0, [], 0
    model.clear_gradients()
    for start in range(0, len(rows), batch_size):
        arrays = collate(rows[start : start + batch_size], pad_id=0)
        batch = {name: paddle.to_tensor(array) for name, array in arrays.items()}
        logits_K2 = model(**{name: batch[name] for name in MODEL_INPUTS})
        summed = loss_of(logits_K2, batch)
        summed.backward()
        loss += float(summed)
        if "labels" in arrays:
            scores = reward_scores(logits_K2).numpy()[arrays["label_at"]]
            solutions = arrays["solutions"] + first_solution
            parts.append((scores, arrays["labels"], solutions, arrays["error_cut"], arrays["texts"]))
        first_solution += int(arrays["solution_count"])
    gradients = np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters() if p.grad is not None])
    metrics = step_metrics(*map(np.concatenate, zip(*parts, strict=True))) if parts else {}
    return loss, gradients, {name: value for name, value in metrics.items() if value is not None}


def assert_invariant(model, examples, batch_size: int, loss_of, weigh=smoothed, packings=PACKINGS) -> None:
    """To 1e-5 in float32. A wrong mask, position, weight or target shows in the gradients."""
    loss, gradients, metrics = outcome(model, examples, (False, False, False), 1, loss_of, weigh)
    size = np.linalg.norm(gradients)
    for packing in packings:
        mine, my_gradients, my_metrics = outcome(model, examples, packing, batch_size, loss_of, weigh)
        assert mine == pytest.approx(loss, rel=1e-5), packing
        assert np.linalg.norm(my_gradients - gradients) < 1e-5 * size, packing
        assert my_metrics == pytest.approx(metrics, rel=1e-5), packing
