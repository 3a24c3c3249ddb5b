"""Loss, gradients and metrics are those of the separate records, however they are merged, packed and padded."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm.alignment.rm.flashmask.reward_model import as_reward_model
from llm.alignment.rm.flashmask.reward_objective import MODEL_INPUTS
from llm.core import patches
from llm.core.cpu.kernels.build import kernels
from llm.core.model import attention, config, forward
from llm.core.model.head.losses import pair_loss, reward_cross_entropy, rewards, vocabulary_cross_entropy
from llm.core.rows.batch import collate
from llm.core.rows.prefix_tree import lone_tree
from llm.core.rows.row import make_row
from tests.alignment.rm.forests import assert_invariant, few, outcome, random_pairs, random_solutions, smoothed
from tests.factories import random_model, save_model


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


@few
@given(seed=st.integers(0, 10_000), batch_size=st.integers(1, 4))
def test_merged_and_packed_equals_one_by_one(model, seed, batch_size):
    """Over random forests, with soft labels, records of different weights, smoothing and a weight of the positive."""
    assert_invariant(model, random_solutions(seed), batch_size, label_loss)


@few
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
        row = smoothed(make_row([lone_tree(solution)]))
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
