"""Loss and gradients are those of each pair alone, however answers are merged, packed and padded."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm.alignment.dpo.dpo_objective import PairObjective
from llm.alignment.dpo.loss_kinds import KINDS, OF_PAIRS
from llm.alignment.dpo.losses import LossSettings
from llm.core.model import language_model
from llm.core.rows.row_store import StoredRows, write_rows
from tests.alignment.dpo.direct_losses import loss_of
from tests.alignment.dpo.random_pairs import random_pairs
from tests.core.rows.packed_answers import PACKINGS, assert_any_packing_gives, gradients_of, log_p_of, rows_of

BETA, SMOOTHING, GAMMA = 0.4, 0.2, 0.6
STEP = 1e-6
few = settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Alone(NamedTuple):
    """An answer by itself."""

    log_p: float  # that the policy gives it
    ahead: float  # the reference
    gradient: np.ndarray  # of log_p


def alone(models, pairs) -> list[tuple[Alone, Alone]]:
    """The answers of each pair."""
    policy, reference = models
    found = {}
    for answer in {answer.ids.tobytes(): answer for pair in pairs for answer in (pair.chosen, pair.rejected)}.values():
        policy.clear_gradients()
        log_p = log_p_of(policy, answer)
        log_p.backward()
        with paddle.no_grad():
            ahead = float(log_p_of(reference, answer))
        found[answer.ids.tobytes()] = Alone(float(log_p), ahead, gradients_of(policy))
    return [(found[pair.chosen.ids.tobytes()], found[pair.rejected.ids.tobytes()]) for pair in pairs]


@pytest.fixture(scope="module")
def seven(models) -> tuple:
    """Pairs that every loss is tried on, and their answers by themselves."""
    pairs = random_pairs(7)
    return pairs, alone(models, pairs)


def directly(pairs, answers, loss_type: str, by_mean: bool, sft_loss_ratio: float, means=()) -> tuple:
    """Each pair by itself: loss and gradients. The derivatives of its formula are taken by differences."""
    total, gradients = 0.0, 0.0
    for pair, (chosen, rejected) in zip(pairs, answers, strict=True):
        tokens = [len(answer.scored) for answer in (pair.chosen, pair.rejected)]
        ahead = [chosen.ahead, rejected.ahead] if KINDS[loss_type].needs_reference else [0.0, 0.0]

        def loss(at, ahead=ahead, tokens=tokens):
            ratios = np.subtract(at, ahead)
            u, v = ratios / tokens if by_mean else ratios
            return loss_of(loss_type, u, v, BETA, SMOOTHING, GAMMA, *means) - sft_loss_ratio * at[0] / tokens[0]

        at = np.array([chosen.log_p, rejected.log_p])
        for answer, step in ((chosen, np.array([STEP, 0])), (rejected, np.array([0, STEP]))):
            slope = (loss(at + step) - loss(at - step)) / (2 * STEP)
            gradients = gradients + pair.weight * slope * answer.gradient
        total += pair.weight * loss(at)
    return total, gradients


def assert_as_alone(
    models, pairs, answers, loss_type, by_mean, sft_loss_ratio, batch_size, means=(), packings=PACKINGS
) -> None:
    loss, gradients = directly(pairs, answers, loss_type, by_mean, sft_loss_ratio, means)
    asked = LossSettings(loss_type, BETA, SMOOTHING, GAMMA, sft_loss_ratio, by_mean)
    objective = PairObjective(asked, has_reference=KINDS[loss_type].needs_reference)
    if objective.has_reference:
        objective.reference = partial(language_model.outputs, models[1])
    weight = sum(pair.weight for pair in pairs)
    assert_any_packing_gives(loss, gradients, models[0], pairs, objective, batch_size, weight, packings)


@few
@given(seed=st.integers(0, 1 << 20), batch_size=st.integers(1, 3))
@pytest.mark.parametrize("by_mean", [False, True])
def test_any_packing_gives_loss_and_gradients_of_each_pair_alone(models, seed, batch_size, by_mean):
    if pairs := random_pairs(seed):
        assert_as_alone(models, pairs, alone(models, pairs), "sigmoid", by_mean, 0.5, batch_size)


@pytest.mark.parametrize("loss_type", [name for name in OF_PAIRS if not KINDS[name].over_batch])
def test_every_loss_is_that_of_each_pair_alone(models, seven, loss_type):
    """In forests; in other packings a loss is given the same log-probabilities."""
    by_mean = KINDS[loss_type].by_mean or loss_type == "ipo"
    assert_as_alone(models, *seven, loss_type, by_mean, 0.0, batch_size=2, packings=[(True, True, True)])


def test_the_batch_of_kto_is_all_pairs_of_an_update(models, seven):
    ratios = [[answer.log_p - answer.ahead for answer in answers] for answers in seven[1]]
    assert_as_alone(models, *seven, "kto_pair", False, 0.0, batch_size=100, means=np.mean(ratios, axis=0))


def test_a_group_computes_each_answer_once():
    pairs = random_pairs(7)
    (group,) = {len(row.payload.keys) for row in rows_of(pairs, (True, False, False))[:1]}
    answers = {answer.ids.tobytes() for pair in pairs for answer in (pair.chosen, pair.rejected)}
    rows = rows_of(pairs, (True, True, True))
    assert group < 2 * len(pairs)
    assert sum(len(row.payload.keys) for row in rows) == len(answers)
    assert len({key for row in rows for key in row.payload.keys.tolist()}) == len(answers)


def test_rows_are_stored_as_they_are(tmp_path):
    rows = rows_of(random_pairs(3), (True, True, True))
    write_rows(tmp_path / "rows.arrow", rows)
    for mine, stored in zip(rows, StoredRows(tmp_path / "rows.arrow"), strict=True):
        for name in ("scored", "at", "solutions", "next_ids", "chosen", "rejected", "weights", "keys", "reference"):
            np.testing.assert_array_equal(getattr(mine.payload, name), getattr(stored.payload, name))
