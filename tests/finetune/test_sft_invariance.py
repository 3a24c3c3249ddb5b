"""Loss and gradients are those of each answer alone, however answers are merged, packed and padded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm.core import patches
from llm.core.model import attention, config
from llm.core.model.language_model import as_language_model
from llm.core.rows.row_store import StoredRows, write_rows
from llm.core.text.answers import NO_TARGET, Answer
from llm.finetune.sft_objective import AnswerObjective
from tests.core.rows.packed_answers import assert_any_packing_gives, gradients_of, log_p_of, rows_of

few = settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def model(tiny):
    folder = str(tiny / "model")
    attend = attention.choose(False, False)[0]
    return as_language_model(patches.load_model(folder, config.load_config(folder), attend, "float32"))


def random_answers(seed: int) -> list[Answer]:
    """Dialogues of one or two turns behind some prompts: answers begin alike, repeat, or continue one another."""
    random, answers = np.random.default_rng(seed), []
    for _ in range(random.integers(1, 4)):
        prompt = random.integers(10, 300, random.integers(1, 20))
        texts = [random.integers(10, 300, random.integers(1, 12)) for _ in range(3)]
        for _ in range(random.integers(1, 6)):
            ids, weight = prompt, float(random.choice([1.0, 2.5]))
            for _ in range(random.integers(1, 3)):
                begin, ids = len(ids), np.concatenate([ids, *(texts[n] for n in random.integers(0, 3, 2))])
                scored = np.arange(begin - 1, len(ids) - 1)
                answers.append(Answer(ids.astype("int32"), scored, NO_TARGET, len(prompt), weight))
    return answers


def directly(model, answers: list[Answer]) -> tuple[float, np.ndarray]:
    """Each answer by itself: cross entropy of log_softmax over the whole vocabulary."""
    model.clear_gradients()
    total = 0.0
    for answer in answers:
        loss = -answer.weight * log_p_of(model, answer)
        loss.backward()
        total += float(loss)
    return total, gradients_of(model)


@few
@given(seed=st.integers(0, 1 << 20), batch_size=st.integers(1, 3))
def test_any_packing_gives_loss_and_gradients_of_each_answer_alone(model, seed, batch_size):
    answers = random_answers(seed)
    loss, gradients = directly(model, answers)
    weight = sum(answer.weight * len(answer.scored) for answer in answers)
    assert_any_packing_gives(loss, gradients, model, answers, AnswerObjective(), batch_size, weight)


def test_rows_are_stored_as_they_are(tmp_path):
    rows = rows_of(random_answers(3), (True, True, True))
    write_rows(tmp_path / "rows.arrow", rows)
    for mine, stored in zip(rows, StoredRows(tmp_path / "rows.arrow"), strict=True):
        for name in ("scored", "at", "solutions", "next_ids", "weights"):
            np.testing.assert_array_equal(getattr(mine.payload, name), getattr(stored.payload, name))
