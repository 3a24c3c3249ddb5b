"""Loss and gradients are those of each answer alone, however answers are merged, packed and padded."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm.core import patches
from llm.core.model import attention, config, forward
from llm.core.model.language_model import as_language_model
from llm.core.rows.batch import collate
from llm.core.rows.packing import choose_packing
from llm.core.rows.prefix_tree import grow_trees
from llm.core.rows.row_store import StoredRows, write_rows
from llm.core.text.answers import NO_TARGET, Answer
from llm.finetune.sft_objective import AnswerObjective

MAX_SEQ_LEN = 96
# (prefix_sharing, zero_padding, greedy_zero_padding)
PACKINGS = [(False, False, False), (True, False, False), (True, True, False), (True, True, True), (False, True, True)]
few = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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


def gradients_of(model) -> np.ndarray:
    return np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters() if p.grad is not None])


def directly(model, answers: list[Answer]) -> tuple[float, np.ndarray]:
    """Each answer by itself: cross entropy of log_softmax over the whole vocabulary."""
    model.clear_gradients()
    total = 0.0
    for answer in answers:
        ids = paddle.to_tensor(answer.ids.astype("int64"))
        length = len(answer)
        positions, end = paddle.arange(length).unsqueeze(0), paddle.full([1, length], length, "int32")
        hidden = forward.hidden_states(model, ids.unsqueeze(0), positions, end)[0]
        log_p = paddle.nn.functional.log_softmax(hidden @ model.lm_head.weight, axis=-1)
        first = int(answer.scored[0])
        wanted = paddle.take_along_axis(log_p[first:-1], ids[first + 1 :].unsqueeze(-1), 1)
        loss = -answer.weight * wanted.sum()
        loss.backward()
        total += float(loss)
    return total, gradients_of(model)


def packed(model, rows, batch_size: int) -> tuple[float, np.ndarray]:
    objective = AnswerObjective()
    model.clear_gradients()
    total = 0.0
    for start in range(0, len(rows), batch_size):
        arrays = collate(rows[start : start + batch_size], pad_id=0)
        batch = {name: paddle.to_tensor(array) for name, array in arrays.items()}
        loss, _ = objective.loss_and_statistics(objective.outputs(model, batch), batch)
        loss.backward()
        total += float(loss)
    return total, gradients_of(model)


def rows_of(answers: list[Answer], packing) -> list:
    prefix_sharing, zero_padding, greedy = packing
    trees = grow_trees(answers, MAX_SEQ_LEN, prefix_sharing)
    return list(choose_packing(zero_padding, greedy, stream=False)(trees, MAX_SEQ_LEN))


@few
@given(seed=st.integers(0, 1 << 20), batch_size=st.integers(1, 3))
def test_any_packing_gives_loss_and_gradients_of_each_answer_alone(model, seed, batch_size):
    answers = random_answers(seed)
    loss, gradients = directly(model, answers)
    weight = sum(answer.weight * len(answer.scored) for answer in answers)
    for packing in PACKINGS:
        rows = rows_of(answers, packing)
        assert sum(row.weight for row in rows) == pytest.approx(weight)
        mine, my_gradients = packed(model, rows, batch_size)
        assert mine == pytest.approx(loss, rel=1e-5), packing
        assert np.linalg.norm(my_gradients - gradients) < 1e-5 * np.linalg.norm(gradients), packing


def test_rows_are_stored_as_they_are(tmp_path):
    rows = rows_of(random_answers(3), (True, True, True))
    write_rows(tmp_path / "rows.arrow", rows)
    for mine, stored in zip(rows, StoredRows(tmp_path / "rows.arrow"), strict=True):
        for name in ("scored", "at", "solutions", "next_ids", "weights"):
            np.testing.assert_array_equal(getattr(mine.payload, name), getattr(stored.payload, name))
