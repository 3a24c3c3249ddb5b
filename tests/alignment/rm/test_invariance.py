"""Loss, gradients and metrics are those of the separate records, however they are merged, packed and padded."""

from __future__ import annotations

from itertools import islice

import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from llm.alignment.rm.flashmask.reward_metrics import step_metrics
from llm.alignment.rm.flashmask.reward_model import as_reward_model
from llm.alignment.rm.flashmask.reward_objective import MODEL_INPUTS
from llm.core import patches
from llm.core.cpu.kernels.build import kernels
from llm.core.model import attention, config, forward
from llm.core.model.losses import pair_loss, reward_cross_entropy, reward_scores, rewards, vocabulary_cross_entropy
from llm.core.rows.batch import collate
from llm.core.rows.label_weights import weigh_labels
from llm.core.rows.packing import choose_packing
from llm.core.rows.payload import Labels
from llm.core.rows.prefix_tree import grow_trees, lone_tree
from llm.core.rows.row import make_row
from llm.core.text.encoding import Pair, Sequence
from tests.factories import random_model, save_model

MAX_SEQ_LEN = 96
# (prefix_sharing, zero_padding, greedy_zero_padding)
PACKINGS = [(True, False, False), (True, True, False), (True, True, True), (False, True, False), (False, True, True)]


@pytest.fixture(scope="module", params=["llama kernel", "llama block", "llama dense", "qwen3 kernel", "qwen3 block"])
def model(request, tiny, tokens, tmp_path_factory):
    """Tiny, of a family and with an attention; put back afterwards is what other tests of the process would install
    themselves."""
    family, name = request.param.split()
    if name == "kernel" and kernels()[0] is None:
        pytest.skip(f"no compiled kernels: {kernels()[1]}")
    attend = getattr(attention, f"{name}_attention")
    folder = str(tiny / "model")
    if family == "qwen3":
        folder = str(save_model(random_model("Qwen3", 640), tmp_path_factory.mktemp("qwen3")))
    return as_reward_model(patches.load_model(folder, config.load_config(folder), attend, "float32"), tokens)


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


def label_loss(logits_K2, batch):
    cross_entropy_M = reward_cross_entropy(logits_K2.gather(batch["label_at"]), batch["targets"])
    return (batch["weights"] * cross_entropy_M).sum()


def vocabulary_loss(logits_K2, batch):
    cross_entropy_M = vocabulary_cross_entropy(logits_K2.gather(batch["label_at"]), batch["targets"])
    return (batch["weights"] * cross_entropy_M).sum()


def preference_loss(logits_K2, batch):
    rewards_K = rewards(logits_K2)
    chosen_P, rejected_P = rewards_K.gather(batch["chosen"]), rewards_K.gather(batch["rejected"])
    return (batch["pair_weights"] * pair_loss(chosen_P, rejected_P, batch["margins"], centering=0.1)).sum()


def outcome(model, examples, packing, batch_size: int, loss_of):
    """(summed loss, all gradients as one vector, metrics of the labels) over batches of rows."""
    prefix_sharing, zero_padding, greedy = packing
    trees = grow_trees(examples, MAX_SEQ_LEN, prefix_sharing)
    rows = list(choose_packing(zero_padding, greedy, stream=False)(trees, MAX_SEQ_LEN))
    if isinstance(rows[0].payload, Labels):
        rows = [weigh_labels(row, smoothing=0.1, positive_weight=0.4) for row in rows]
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


def assert_invariant(model, examples, batch_size: int, loss_of) -> None:
    """To 1e-5 in float32. A wrong mask, position, weight or target shows in the gradients."""
    loss, gradients, metrics = outcome(model, examples, (False, False, False), batch_size=1, loss_of=loss_of)
    size = np.linalg.norm(gradients)
    for packing in PACKINGS:
        mine, my_gradients, my_metrics = outcome(model, examples, packing, batch_size, loss_of)
        assert mine == pytest.approx(loss, rel=1e-5), packing
        assert np.linalg.norm(my_gradients - gradients) < 1e-5 * size, packing
        if loss_of is not preference_loss:
            assert my_metrics == pytest.approx(metrics, rel=1e-5), packing


slow = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@slow
@given(seed=st.integers(0, 10_000), batch_size=st.integers(1, 4))
def test_merged_and_packed_equals_one_by_one(model, seed, batch_size):
    """Over random forests, with soft labels, records of different weights, smoothing and a weight of the positive."""
    assert_invariant(model, random_solutions(seed), batch_size, label_loss)


@slow
@given(seed=st.integers(0, 10_000), batch_size=st.integers(1, 4))
def test_pairs_in_common_trees_equal_pairs_one_by_one(model, seed, batch_size):
    pairs = random_pairs(seed)
    assume(pairs)
    assert_invariant(model, pairs, batch_size, preference_loss)


def test_the_loss_of_pairs_is_that_of_their_answers_alone(model):
    """Not only of pairs in a tree: both answers by themselves, the formula written out."""
    pairs = random_pairs(3)
    assert len(pairs) > 4
    loss, _, _ = outcome(model, pairs, (True, True, True), 4, preference_loss)
    total = 0.0
    for pair in pairs:
        rows = [make_row([lone_tree(answer)]) for answer in (pair.chosen, pair.rejected)]
        logits = [model(**batch_of(row)).numpy()[0] for row in rows]
        chosen, rejected = (float(positive) - float(negative) for positive, negative in logits)
        sigmoid = 1 / (1 + np.exp(-(chosen - rejected - pair.margin)))
        total += pair.weight * (-np.log(sigmoid) + 0.1 * (chosen + rejected) ** 2)
    assert loss == pytest.approx(total, rel=1e-5)


def batch_of(row) -> dict:
    arrays = collate([row], pad_id=0)
    return {name: paddle.to_tensor(arrays[name]) for name in MODEL_INPUTS}


def test_the_loss_over_the_vocabulary_is_plain_next_token_prediction(tiny, tokens):
    """Against full logits: cross entropy of "+" and "-" among all tokens at each placeholder, gradients too; and it is
    the same however it is packed."""
    folder = str(tiny / "model")
    model = patches.load_model(folder, config.load_config(folder), attention.block_attention, "float32")
    model = as_reward_model(model, tokens, over_vocabulary=True)
    solutions = random_solutions(5)
    loss, gradients, _ = outcome(model, solutions, (True, True, True), 4, vocabulary_loss)
    names = [name for name, p in model.named_parameters() if p.grad is not None]
    model.clear_gradients()
    total = 0.0
    for solution in solutions:
        row = weigh_labels(make_row([lone_tree(solution)]), smoothing=0.1, positive_weight=0.4)
        arrays = {name: paddle.to_tensor(array) for name, array in collate([row], pad_id=0).items()}
        hidden = forward.hidden_states(model, *(arrays[name] for name in MODEL_INPUTS[:3]))[0]
        log_p = paddle.nn.functional.log_softmax(hidden @ model.lm_head.weight, axis=-1).gather(arrays["scored"])
        target = arrays["targets"]
        alone = -(arrays["weights"] * (target * log_p[:, tokens.positive] + (1 - target) * log_p[:, tokens.negative]))
        alone.sum().backward()
        total += float(alone.sum())
    assert loss == pytest.approx(total, rel=1e-5)
    wanted = np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters() if p.grad is not None])
    assert names == [name for name, p in model.named_parameters() if p.grad is not None]
    assert np.linalg.norm(gradients - wanted) < 1e-5 * np.linalg.norm(wanted)
