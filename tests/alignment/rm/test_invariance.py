"""Loss, gradients and metrics are those of the separate records, however they are merged, packed and padded."""

from __future__ import annotations

from itertools import islice

import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm.alignment.rm.flashmask.reward_model import as_reward_model
from llm.alignment.rm.flashmask.reward_trainer import MODEL_INPUTS
from llm.core import attention, backbone
from llm.core.cpu_kernels.build import kernels
from llm.core.encoding import Sequence
from llm.core.forest import grow_trees
from llm.core.losses import reward_cross_entropy, reward_scores
from llm.core.metrics import step_metrics
from llm.core.packing import choose_packing, collate

MAX_SEQ_LEN = 96
# (prefix_sharing, zero_padding, greedy_zero_padding)
PACKINGS = [(True, False, False), (True, True, False), (True, True, True), (False, True, False), (False, True, True)]


@pytest.fixture(scope="module", params=["kernel", "block", "dense"])
def model(request, tiny, tokens):
    """A tiny Llama; put back afterwards is what other tests of the process would install themselves."""
    if request.param == "kernel" and kernels()[0] is None:
        pytest.skip(f"no compiled kernels: {kernels()[1]}")
    attend = getattr(attention, f"{request.param}_attention")
    folder = str(tiny / "model")
    return as_reward_model(backbone.load_model(folder, backbone.load_config(folder), attend, "float32"), tokens)


def random_solutions(seed: int) -> list[Sequence]:
    """Walks through random trees of some prompts: they share steps, repeat one another, or are alone; labels of the
    same step differ."""
    random, solutions = np.random.default_rng(seed), []
    for _ in range(random.integers(1, 5)):
        prompt = random.integers(10, 300, random.integers(1, 24))
        # step n of branch b: the same tokens wherever it is taken
        steps = [[random.integers(10, 300, random.integers(1, 9)) for _ in range(3)] for _ in range(5)]
        for _ in range(random.integers(1, 7)):
            taken = [options[random.integers(0, 3)] for options in islice(steps, int(random.integers(1, 6)))]
            ids, scored = prompt, []
            for step in taken:
                ids = np.concatenate([ids, step])
                scored.append(len(ids) - 1)
            targets = random.choice([0.0, 1.0, 0.3], len(scored))
            solutions.append(
                Sequence(ids.astype("int32"), np.array(scored), targets.astype("float32"), len(prompt))
            )
    return solutions


def outcome(model, solutions, packing, batch_size: int):
    """(summed loss, all gradients as one vector, metrics) over batches of rows."""
    prefix_sharing, zero_padding, greedy = packing
    trees = grow_trees(solutions, MAX_SEQ_LEN, prefix_sharing)
    rows = list(choose_packing(zero_padding, greedy, stream=False)(trees, MAX_SEQ_LEN))
    loss, parts, first_solution = 0.0, [], 0
    model.clear_gradients()
    for start in range(0, len(rows), batch_size):
        arrays = collate(rows[start : start + batch_size], pad_id=0)
        batch = {name: paddle.to_tensor(array) for name, array in arrays.items()}
        logits_K2 = model(**{name: batch[name] for name in MODEL_INPUTS})
        cross_entropy_M = reward_cross_entropy(logits_K2.gather(batch["label_at"]), batch["targets"])
        summed = (batch["weights"] * cross_entropy_M).sum()
        summed.backward()
        loss += float(summed)
        # rounded: the same step in two rows differs by the last bit, which would decide a tie of the AUC
        scores = reward_scores(logits_K2).numpy()[arrays["label_at"]].round(5)
        parts.append((scores, (arrays["labels"] > 0.5).astype("float32"), arrays["solutions"] + first_solution))
        first_solution += int(arrays["solution_count"])
    gradients = np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters() if p.grad is not None])
    metrics = step_metrics(*map(np.concatenate, zip(*parts, strict=True)))
    return loss, gradients, {name: value for name, value in metrics.items() if value is not None}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), batch_size=st.integers(1, 4))
def test_merged_and_packed_equals_one_by_one(model, seed, batch_size):
    """To 1e-5 in float32, over random forests. A wrong mask, position, weight or target shows in the gradients."""
    solutions = random_solutions(seed)
    loss, gradients, metrics = outcome(model, solutions, (False, False, False), batch_size=1)
    size = np.linalg.norm(gradients)
    for packing in PACKINGS:
        mine, my_gradients, my_metrics = outcome(model, solutions, packing, batch_size)
        assert mine == pytest.approx(loss, rel=1e-5), packing
        assert np.linalg.norm(my_gradients - gradients) < 1e-5 * size, packing
        assert my_metrics == pytest.approx(metrics, rel=1e-5), packing
