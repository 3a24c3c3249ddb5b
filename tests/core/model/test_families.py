"""Llama, Mistral, Qwen2 and Qwen3, from either form of a folder, compute what their weights say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llm.core.model import config as config_module
from tests.core.model_folders import (
    FAMILIES,
    KINDS,
    LLAMA,
    LLAMA3_ROPE,
    MISTRAL,
    QWEN2,
    errors_against_numpy,
    load,
    random_weights,
    write,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_hugging_face_folder_computes_what_its_weights_say(name, kind, tmp_path):
    """Names, orientation, grouped heads, biases, rotary embedding beyond the original length, tied heads; half
    precision is widened exactly."""
    config, weights = FAMILIES[name], random_weights(FAMILIES[name], kind)
    model = load(write(tmp_path / "model", config, weights, shards=1 if kind == "float32" else 3))
    errors = errors_against_numpy(model, config, weights)
    assert max(errors) < 1e-4
    assert np.array_equal(
        model.state_dict()[f"{config['model_type']}.embed_tokens.weight"].numpy(),
        weights["model.embed_tokens.weight"].astype("float32"),
    )


SAVED = {
    "safetensors": "float32",
    "pdparams": "bfloat16",
    "sharded safetensors": "bfloat16",
    "sharded pdparams": "float32",
}


@pytest.mark.slow
@pytest.mark.parametrize(("form", "dtype"), SAVED.items())
@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_model_is_read_back_equal(name, form, dtype, tmp_path):
    """PaddleNLP's own form: names of the family, matrices [in, out], bfloat16 stored as integers."""
    config, weights = FAMILIES[name], random_weights(FAMILIES[name], dtype)
    saved = load(write(tmp_path / "model", config, weights), dtype)
    size = "20KB" if form.startswith("sharded") else "1GB"
    saved.save_pretrained(str(tmp_path / "saved"), safe_serialization="safetensors" in form, max_shard_size=size)
    written = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert (written["model_type"], written["architectures"]) == (config["model_type"], config["architectures"])
    assert any((tmp_path / "saved").glob("*.index.json")) == form.startswith("sharded")
    model = load(tmp_path / "saved")
    errors = errors_against_numpy(model, config, weights)
    assert max(errors) < 1e-4
    for parameter, values in model.state_dict().items():
        assert np.array_equal(values.numpy(), saved.state_dict()[parameter].astype("float32").numpy()), parameter


@pytest.mark.parametrize(
    ("config", "changes", "computes_as"),
    [
        (LLAMA, {"rope_scaling": {"rope_type": "default"}}, {}),
        (LLAMA, {"rope_scaling": LLAMA3_ROPE | {"rope_type": ..., "type": "llama3"}}, {"rope_scaling": LLAMA3_ROPE}),
        (
            LLAMA,
            {"rope_theta": ..., "rope_scaling": ..., "rope_parameters": LLAMA3_ROPE | {"rope_theta": 700000.0}},
            {"rope_theta": 700000.0, "rope_scaling": LLAMA3_ROPE},
        ),
        (
            QWEN2,
            {"rope_theta": ..., "rope_parameters": {"rope_theta": 700000.0, "rope_type": "default"}},
            {"rope_theta": 700000.0},
        ),
        (QWEN2, {"attention_bias": False, "layer_types": ["full_attention"] * 2, "head_dim": 8}, {}),
        (LLAMA, {"tensor_parallel_degree": 2, "architectures": ["LlamaForCausalLMPipe"]}, {}),
        *((family, {"pad_token_id": number}, {}) for family in (LLAMA, MISTRAL, QWEN2) for number in (5, 40, "x")),
    ],
)
def test_other_ways_to_write_a_configuration_are_obeyed(config, changes, computes_as, tmp_path):
    """`type` for rope_type, the rope_parameters of newer transformers, what a run of several ranks leaves behind, a
    token that pads and is a token like others all the same."""
    weights = random_weights(config)
    written = {
        name: {key: item for key, item in value.items() if item is not ...} if isinstance(value, dict) else value
        for name, value in (config | changes).items()
        if value is not ...
    }
    model = load(write(tmp_path / "model", written, weights))
    assert max(errors_against_numpy(model, config | computes_as, weights)) < 1e-4
    model.save_pretrained(str(tmp_path / "saved"), safe_serialization=True)
    assert max(errors_against_numpy(load(tmp_path / "saved"), config | computes_as, weights)) < 1e-4


def test_old_files_may_hold_the_frequencies_of_the_rotary_embedding(tmp_path):
    weights = random_weights(LLAMA)
    frequencies = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones([4], "float32")}
    model = load(write(tmp_path / "model", LLAMA, weights | frequencies))
    assert max(errors_against_numpy(model, LLAMA, weights)) < 1e-4


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        (LLAMA, 256),
        (FAMILIES["llama 3.1"], 256),
        (MISTRAL, 256),
        (MISTRAL | {"sliding_window": 64}, 64),
        (QWEN2, 256),
    ],
)
def test_the_longest_solution_is_what_positions_and_window_allow(config, longest, tmp_path):
    """Qwen2 writes a sliding_window that use_sliding_window turns off; Mistral's null is none."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert config_module.read_sizes(str(tmp_path)).longest_solution == longest
