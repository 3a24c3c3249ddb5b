"""Every kind of head, and the loss that ranks steps: in packed trees and in padded ones, loss, gradients and metrics
are those of the separate records. test_invariance.py tries all packings."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm.alignment.rm.flashmask.reward_model import as_reward_model
from llm.alignment.rm.flashmask.reward_objective import MODEL_INPUTS, LabelObjective, PairObjective, QuantileObjective
from llm.core import patches
from llm.core.model import attention, config
from llm.core.rows.batch import collate
from llm.core.rows.label_weights import weigh_solutions
from llm.core.rows.prefix_tree import lone_tree
from llm.core.rows.row import make_row
from tests.alignment.rm.forests import (
    FOREST_AND_PADDED,
    assert_invariant,
    few,
    outcome,
    random_pairs,
    random_solutions,
    smoothed,
)
from tests.core.numpy_forward import pinball_loss, ranking_loss

SEEDS, SIZES = st.integers(0, 10_000), st.integers(1, 4)
MARGIN = 2.0


def loss_of(objective):
    return lambda logits_K2, batch: objective.loss_and_statistics(logits_K2, batch)[0]


JUDGED = loss_of(LabelObjective(True, "reward_tokens", MARGIN))
RANKED = loss_of(LabelObjective(True, "pqm", MARGIN))
QUANTILES = loss_of(QuantileObjective(True, "quantile", MARGIN))
COMPARED = loss_of(PairObjective(centering=0.1))


def load(head: str, tiny, tokens):
    folder = str(tiny / "model")
    new = {} if head == "lm" else {"new_head": 5}
    found = config.load_config(folder, head)
    loaded = patches.load_model(folder, found, attention.block_attention, "float32", **new)
    return as_reward_model(loaded, tokens)


@pytest.fixture(scope="module", params=["lm", "linear", "mlp", "value"])
def model(request, tiny, tokens):
    return load(request.param, tiny, tokens)


@pytest.fixture(scope="module")
def quantile_model(tiny, tokens):
    return load("quantile", tiny, tokens)


@few
@given(seed=SEEDS, batch_size=SIZES)
def test_labels(model, seed, batch_size):
    assert_invariant(model, random_solutions(seed), batch_size, JUDGED, smoothed, FOREST_AND_PADDED)


@few
@given(seed=SEEDS, batch_size=SIZES)
def test_ranked_steps(model, seed, batch_size):
    """A step that solutions share is ranked in each of them."""
    assert_invariant(model, random_solutions(seed), batch_size, RANKED, weigh_solutions, FOREST_AND_PADDED)


@few
@given(seed=SEEDS, batch_size=SIZES)
def test_pairs(model, seed, batch_size):
    pairs = random_pairs(seed)
    assume(pairs)
    assert_invariant(model, pairs, batch_size, COMPARED, smoothed, FOREST_AND_PADDED)


@few
@given(seed=SEEDS, batch_size=SIZES)
def test_quantiles(quantile_model, seed, batch_size):
    assert_invariant(quantile_model, random_solutions(seed), batch_size, QUANTILES, lambda row: row, FOREST_AND_PADDED)


def test_the_quantile_loss_of_a_forest_is_that_of_its_solutions_alone(quantile_model):
    """Where solutions share a step, each of its labels counts."""
    solutions = random_solutions(5)
    total = 0.0
    for solution in solutions:
        outputs_K3 = outputs_of(quantile_model, solution)
        assert (np.diff(outputs_K3) > 0).all()
        total += solution.weight * pinball_loss(outputs_K3, solution.labels)
    found = outcome(quantile_model, solutions, (True, True, True), 4, QUANTILES, lambda row: row)
    assert found[0] == pytest.approx(total, rel=1e-5)


def outputs_of(model, solution) -> np.ndarray:
    """Of a solution by itself."""
    arrays = collate([make_row([lone_tree(solution)])], pad_id=0)
    return model(**{name: paddle.to_tensor(arrays[name]) for name in MODEL_INPUTS}).numpy().astype("float64")


def test_the_ranking_of_a_forest_is_that_of_its_solutions_alone(model):
    """The formula in numpy over the rewards of every solution by itself, each counting its weight."""
    solutions = random_solutions(5)
    assert len(solutions) > 4
    total = 0.0
    for solution in solutions:
        logits = outputs_of(model, solution)
        total += solution.weight * ranking_loss(np.diff(logits[:, ::-1])[:, 0], solution.labels > 0.5, MARGIN)
    assert outcome(model, solutions, (True, True, True), 4, RANKED, weigh_solutions)[0] == pytest.approx(
        total, rel=1e-5
    )
