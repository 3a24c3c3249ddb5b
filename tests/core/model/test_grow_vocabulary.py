"""A grown vocabulary: the old rows as they were, the new ones their mean, saved and loaded as any other model."""

import json

import numpy as np
import pytest

from llm.core import patches
from llm.core.model import config as config_module
from tests.factories import random_model, save_model

SIZE, GROWN = 40, 43
KINDS = [("Llama", False), ("Llama", True), ("Qwen2", False), ("Qwen2", True), ("Qwen3", True), ("Mistral", False)]


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}{' tied' if kind[1] else ''}")
def model(request, tmp_path):
    """Loaded from a folder as a run does it."""
    family, tied = request.param
    saved = random_model(family, SIZE, hidden_size=16, num_hidden_layers=1, tie_word_embeddings=tied)
    return load(save_model(saved, tmp_path / "model"))


def load(folder):
    from llm.core.model import attention

    attend, _ = attention.choose(False, False)
    return patches.load_model(str(folder), config_module.load_config(str(folder)), attend, "float32")


def rows(model) -> tuple[np.ndarray, np.ndarray]:
    """(embedding [V, E], head [V, E])"""
    head = model.lm_head.weight.numpy()
    return model.get_input_embeddings().weight.numpy(), head if head.shape[1] == 16 else head.T


def test_old_rows_stay_and_new_rows_are_their_mean(model):
    from llm.core.model.grow_vocabulary import grow_vocabulary

    names = [name for name, _ in model.named_parameters()]
    tied = model.lm_head.weight is model.get_input_embeddings().weight
    before = rows(model)
    grow_vocabulary(model, GROWN)
    assert model.config.vocab_size == GROWN
    assert [name for name, _ in model.named_parameters()] == names
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == tied == model.config.tie_word_embeddings
    for old, new in zip(before, rows(model), strict=True):
        assert new.shape == (GROWN, 16) and (new[:SIZE] == old).all()
        np.testing.assert_allclose(new[SIZE:], np.tile(old.mean(0), (GROWN - SIZE, 1)), atol=1e-6)


def test_a_grown_model_learns_in_its_new_rows(model):
    """Both as input and, for a reward token, in the head; no parameter is left behind that is not trained."""
    import paddle

    from llm.alignment.rm.flashmask.reward_model import as_reward_model
    from llm.core.model.grow_vocabulary import grow_vocabulary
    from llm.core.text.reward_tokens import RewardTokens

    grow_vocabulary(model, GROWN)
    rewards = as_reward_model(model, RewardTokens(placeholder=GROWN - 1, positive=GROWN - 2, negative=3))
    rewards.train()
    ids_BS = paddle.to_tensor([[1, 2, GROWN - 1]], dtype="int64")
    end_row_BS = paddle.full([1, 3], 3, dtype="int32")
    rewards(ids_BS, paddle.arange(3).unsqueeze(0), end_row_BS, paddle.to_tensor([2], dtype="int64")).sum().backward()
    assert abs(model.get_input_embeddings().weight.grad.numpy()[GROWN - 1]).sum() > 0
    head = model.lm_head.weight.grad.numpy()
    assert abs((head if head.shape[1] == 16 else head.T)[GROWN - 2]).sum() > 0
    assert all(not parameter.stop_gradient for parameter in model.parameters())


def test_a_saved_grown_model_is_loaded_as_it_was(model, tmp_path):
    from llm.core.model.grow_vocabulary import grow_vocabulary

    grow_vocabulary(model, GROWN)
    model.save_pretrained(str(tmp_path / "grown"), safe_serialization=True)
    assert json.loads((tmp_path / "grown/config.json").read_text())["vocab_size"] == GROWN
    again = load(tmp_path / "grown")
    for old, new in zip(rows(model), rows(again), strict=True):
        assert (old == new).all()


def test_a_vocabulary_that_is_large_enough_stays_as_it_is(model):
    """Qwen's has more rows than its tokenizer has tokens."""
    from llm.core.model.grow_vocabulary import grow_vocabulary

    weight = model.get_input_embeddings().weight
    for size in (SIZE - 3, SIZE):
        grow_vocabulary(model, size)
        assert model.get_input_embeddings().weight is weight and model.config.vocab_size == SIZE


def test_a_vocabulary_divided_among_ranks_is_refused(model):
    from llm.core.model.grow_vocabulary import grow_vocabulary

    model.config.tensor_parallel_degree = 2
    with pytest.raises(ValueError, match=r"from 40 to 43 rows.*tensor_parallel_degree"):
        grow_vocabulary(model, GROWN)
