"""Adapters train on frozen weights, start as the base, and nothing of them is lost or made up."""

import json
import shutil

import numpy as np
import paddle
import pytest
from paddlenlp.transformers.llama import modeling
from safetensors.numpy import save_file

from llm.alignment.rm.flashmask import reward_argument
from llm.alignment.rm.flashmask.reward_model import as_reward_model
from llm.core import patches
from llm.core.cpu.kernels.build import kernels
from llm.core.model import attention
from llm.core.model import config as config_module
from llm.core.model.adapters import lora, lora_settings
from llm.core.model.grow_vocabulary import grow_vocabulary
from llm.core.model.head import heads
from llm.core.settings.parse import parse
from llm.core.text.reward_tokens import RewardTokens
from tests.factories import random_model, save_model


@pytest.fixture
def base(tiny):
    return str(tiny / "model")


def adapted(base, tokens, targets=None, new_placeholder=False, recompute=None, attend=None):
    attend = attend or attention.choose(use_flash_attention=False, flash_mask=False)[0]
    paddle.seed(5)
    model = as_reward_model(patches.load_model(base, config_module.load_config(base), attend, "float32"), tokens)
    model = lora.attach(model, tokens, base, 4, 8, targets, new_placeholder)
    if recompute:
        model.apply(lambda layer: recomputed(layer, recompute))
    return model


def recomputed(layer, granularity: str) -> None:
    layer.enable_recompute, layer.recompute_granularity = True, granularity


def logits(model, tokens):
    """Of one row of 12 tokens, three of them the placeholder."""
    ids = paddle.to_tensor([[1, 7, 9, tokens.placeholder, 30, 31, tokens.placeholder, 40, 41, 42, 43, 6]])
    ids[0, 11] = tokens.placeholder
    positions, end_row = paddle.arange(12).unsqueeze(0), paddle.full([1, 12], 12, "int32")
    return model(input_ids=ids, position_ids=positions, end_row=end_row, scored=paddle.to_tensor([3, 6, 11]))


def disturb(model) -> None:
    """As after training: B starts at zero, so that nothing would be seen of adapters that were lost."""
    paddle.seed(9)
    for parameter in model.get_trainable_state_dict().values():
        parameter.set_value(parameter + 0.1 * paddle.randn(parameter.shape))


def gradients(model, tokens) -> dict:
    (logits(model, tokens)[:, 0] ** 2).sum().backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {name: gradient.numpy() for name, gradient in found.items() if gradient is not None}


def test_adapters_and_the_two_reward_rows_train_and_nothing_else(base, tokens):
    model = adapted(base, tokens)
    disturb(model)
    trained = {name for name, parameter in model.named_parameters() if not parameter.stop_gradient}
    layers = [
        f"model.llama.layers.{layer}.{part}"
        for layer in (0, 1)
        for part in (
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "mlp.down_proj",
        )
    ]
    assert trained == {f"{layer}.lora_{part}" for layer in layers for part in "AB"} | {"model.reward_rows"}
    found = gradients(model, tokens)
    assert found.keys() == trained and all(np.abs(gradient).max() > 0 for gradient in found.values())
    for parameter in model.parameters():
        assert parameter.stop_gradient == (parameter.grad is None)


def test_it_starts_with_the_scores_of_its_base(base, tokens):
    attend, _ = attention.choose(False, False)
    plain = as_reward_model(patches.load_model(base, config_module.load_config(base), attend, "float32"), tokens)
    expected = logits(plain, tokens).numpy()
    for new_placeholder in (False, True):
        model = adapted(base, tokens, new_placeholder=new_placeholder)
        np.testing.assert_allclose(logits(model, tokens).numpy(), expected, rtol=1e-6, atol=1e-6)


def test_targets_are_exact_names(base, tokens):
    """The library takes them for patterns: q_proj would match nothing, .*proj everything."""
    model = adapted(base, tokens, ["q_proj", "up_proj", "q_proj"])
    names = {name.rsplit(".", 2)[1] for name in model.get_trainable_state_dict() if "lora" in name}
    assert names == {"q_proj", "up_proj"}
    assert "in 4 layers (q_proj, up_proj)" in lora.describe(model)
    sizes = 2 * (4 * (32 + 32) + 4 * (32 + 64)) + 2 * 32
    assert f"LoRA: {sizes:,} of " in lora.describe(model)


@pytest.mark.parametrize(
    "targets, refused",
    [
        (["q_proj"], None),
        (["up_proj", "q_proj"], None),
        ([".*_proj"], "'.*_proj';"),
        (["q_proj", "proj", "self_attn.k_proj"], "'proj', 'self_attn.k_proj';"),
        (["q_proj", "w1"], "'w1';"),
        (["embed_tokens"], "'embed_tokens';"),
        (["lm_head"], "'lm_head'; of the head the two reward rows train"),
        ([], "names nothing;"),
    ],
)
def test_targets_are_judged_before_a_model_is_loaded(targets, refused):
    """One that matches nothing is refused with its name, also if others match."""
    argv = ["--model_name_or_path", "x", "--lora", "--lora_target_modules", json.dumps(targets)]
    settings = parse(reward_argument.CLASSES, argv, "")
    lora_settings.check_settings(settings)
    if refused is None:
        settings.check()
        return
    with pytest.raises(ValueError) as error:
        settings.check()
    known = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"
    assert refused in str(error.value) and f"write some of {known}, or leave it out" in str(error.value)


@pytest.mark.skipif(kernels()[0] is None, reason="no C++ compiler here")
def test_gradients_are_those_without_the_compiled_kernels(base, tokens):
    model = adapted(base, tokens)
    disturb(model)
    compiled = gradients(model, tokens)
    model = adapted(base, tokens, attend=attention.block_attention)
    disturb(model)
    try:
        patches.apply_to_models(attention.block_attention, compiled=False)
        plain = gradients(model, tokens)
    finally:
        patches.apply_to_models(attention.block_attention)
    assert compiled.keys() == plain.keys()
    for name, gradient in plain.items():
        np.testing.assert_allclose(compiled[name], gradient, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("granularity", ["full", "full_attn", "core_attn"])
def test_recomputing_changes_no_gradient(base, tokens, granularity, monkeypatch):
    """What the first layer gets needs no gradient. Recomputed all the same, its adapters would get none."""
    found, recomputed_parts, real = [], [], modeling.recompute
    monkeypatch.setattr(modeling, "recompute", lambda *args, **kw: recomputed_parts.append(1) or real(*args, **kw))
    for recompute in (None, granularity):
        model = adapted(base, tokens, recompute=recompute)
        disturb(model)
        model.train()
        found.append(gradients(model, tokens))
    assert recomputed_parts and found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        np.testing.assert_allclose(found[1][name], gradient, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.fixture
def saved(base, tokens, tmp_path):
    """(folder of a disturbed adapter with an embedding of its own for the placeholder, its logits)"""
    model = adapted(base, tokens, new_placeholder=True)
    disturb(model)
    model.save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter", logits(model, tokens).numpy()


def load(folder, tokens):
    return as_reward_model(lora.load(folder, "float32", tokens), tokens)


def test_what_is_loaded_is_what_was_saved(saved, tokens):
    folder, expected = saved
    np.testing.assert_allclose(logits(load(folder, tokens), tokens).numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("lost", ["reward_rows", "placeholder_row", "llama.layers.1.mlp.up_proj.lora_B"])
def test_no_part_can_be_lost(saved, tokens, lost):
    """Each part changes the scores, and one that is missing is an error, not a value at random."""
    folder, expected = saved
    file = folder / "lora_model_state.pdparams"
    state = paddle.load(str(file))
    whole = state.pop(lost)
    paddle.save(state | {lost: whole + 0.5}, str(file))
    assert np.abs(logits(load(folder, tokens), tokens).numpy() - expected).max() > 1e-3
    paddle.save(state, str(file))
    if lost == "placeholder_row":  # what a placeholder that the base knows does not have
        assert np.abs(logits(load(folder, tokens), tokens).numpy() - expected).max() > 1e-3
        return
    with pytest.raises(ValueError, match=f"{lost} missing, unexpected or of another size"):
        load(folder, tokens)


def test_weights_of_another_size_are_refused(saved, tokens):
    """The library would skip them without a word."""
    folder, _ = saved
    file = folder / "lora_model_state.pdparams"
    state = paddle.load(str(file))
    paddle.save(state | {"reward_rows": paddle.zeros([2, 16])}, str(file))
    with pytest.raises(ValueError, match="reward_rows missing, unexpected or of another size"):
        load(folder, tokens)
    file.unlink()
    with pytest.raises(ValueError, match="lora_A"):
        load(folder, tokens)


def test_a_tensor_in_two_files_is_refused(saved, tokens):
    """One of the two would be left out, and nobody knows which is meant."""
    folder, _ = saved
    state = paddle.load(str(folder / "lora_model_state.pdparams"), return_numpy=True)
    save_file({"reward_rows": state["reward_rows"]}, folder / "peft_model-00001-of-00001.safetensors")
    with pytest.raises(ValueError, match="reward_rows is in two of its files"):
        load(folder, tokens)


def test_a_base_that_has_moved_is_an_error_that_names_both_and_can_be_told_its_new_place(saved, base, tokens, tmp_path):
    folder, expected = saved
    config = folder / "lora_config.json"
    text = config.read_text()
    config.write_text(text.replace(base, str(tmp_path / "gone")))
    with pytest.raises(ValueError) as error:
        load(folder, tokens)
    for part in (str(folder), str(tmp_path / "gone"), "base_model_name_or_path", str(config)):
        assert part in str(error.value)
    shutil.copytree(base, tmp_path / "gone")
    np.testing.assert_allclose(logits(load(folder, tokens), tokens).numpy(), expected, rtol=1e-6, atol=1e-6)


def test_the_new_placeholders_embedding_trains_and_no_other_changes(base, tokens):
    model = adapted(base, tokens, new_placeholder=True)
    disturb(model)
    embedding = model.get_input_embeddings()
    before = embedding.weight.numpy()
    optimizer = paddle.optimizer.AdamW(0.1, parameters=model.parameters())
    assert np.abs(gradients(model, tokens)["model.placeholder_row"]).max() > 0
    row = model.model.placeholder_row.numpy()
    optimizer.step()
    np.testing.assert_array_equal(embedding.weight.numpy(), before)
    assert np.abs(model.model.placeholder_row.numpy() - row).max() > 0.01
    ids = paddle.to_tensor([5, tokens.placeholder])
    expected = np.stack([before[5], model.model.placeholder_row.numpy()[0]])
    np.testing.assert_array_equal(embedding(ids).numpy(), expected)


def test_rewards_are_read_off_the_rows_of_the_adapter(base, tokens):
    model = adapted(base, tokens)
    before = logits(model, tokens).numpy()
    model.model.reward_rows.set_value(model.model.reward_rows * 2)
    np.testing.assert_allclose(logits(model, tokens).numpy(), before * 2, rtol=1e-5, atol=1e-6)
    swapped = RewardTokens(tokens.placeholder, tokens.negative, tokens.positive)
    expected = heads.head_rows(model.model, tokens).numpy()[::-1]
    np.testing.assert_array_equal(heads.head_rows(model.model, swapped).numpy(), expected)


@pytest.mark.parametrize("is_tied", [False, True])
def test_a_grown_vocabulary_is_the_same_after_loading(tmp_path, is_tied):
    """The base has no row for the new placeholder; the merged model has it, and a row for it in the head."""
    base = str(save_model(random_model("Llama", 50, tie_word_embeddings=is_tied), tmp_path / "base"))
    tokens = RewardTokens(50, 7, 8)
    attend, _ = attention.choose(False, False)
    model = patches.load_model(base, config_module.load_config(base), attend, "float32")
    grow_vocabulary(model, 51)
    model = lora.attach(as_reward_model(model, tokens), tokens, base, 4, 8, new_placeholder=True)
    disturb(model)
    model.save_pretrained(str(tmp_path / "adapter"))
    expected = logits(model, tokens).numpy()
    loaded = lora.load(tmp_path / "adapter", "float32", tokens)
    assert loaded.config.vocab_size == 51
    np.testing.assert_allclose(logits(as_reward_model(loaded, tokens), tokens).numpy(), expected, rtol=1e-6, atol=1e-6)
