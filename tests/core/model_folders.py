"""Tiny models of every family as transformers writes them, and how they are compared with numpy_forward."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import paddle
import pytest
from safetensors.numpy import save_file

from llm.core import patches
from llm.core.model import config as config_module
from llm.core.model import folder as folder_module
from llm.core.model import forward
from llm.core.model.attention import block_attention
from llm.core.model.head import heads
from llm.core.model.head.head_kinds import KINDS as HEADS
from llm.core.text.reward_tokens import RewardTokens
from tests.core import numpy_forward

TOKENS = RewardTokens(placeholder=7, positive=11, negative=23)
KINDS = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
COMMON = {
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.46.0",
    "use_cache": True,
    "vocab_size": 40,
}
LLAMA = COMMON | {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "head_dim": 8,
    "mlp_bias": False,
    "model_type": "llama",
    "pretraining_tp": 1,
    "rope_scaling": None,
}
LLAMA3_ROPE = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
    "rope_type": "llama3",
}
QWEN2 = COMMON | {
    "architectures": ["Qwen2ForCausalLM"],
    "max_window_layers": 1,
    "model_type": "qwen2",
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 64,
    "use_sliding_window": False,
}
QWEN3 = COMMON | {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "head_dim": 12,  # 4 heads are wider than the hidden size
    "max_window_layers": 2,
    "model_type": "qwen3",
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000.0,
    "sliding_window": None,
    "use_sliding_window": False,
}
MISTRAL = COMMON | {
    "architectures": ["MistralForCausalLM"],
    "head_dim": None,
    "model_type": "mistral",
    "rope_theta": 1000000.0,
    "sliding_window": None,
}
FAMILIES = {
    "llama 2": LLAMA | {"num_key_value_heads": 4},
    "llama 3": LLAMA | {"rope_theta": 500000.0},
    "llama 3.1": LLAMA | {"rope_theta": 500000.0, "rope_scaling": LLAMA3_ROPE, "eos_token_id": [2, 3]},
    "llama 3.2": LLAMA | {"rope_theta": 500000.0, "rope_scaling": LLAMA3_ROPE, "tie_word_embeddings": True},
    "llama, all matrices square": LLAMA | {"num_key_value_heads": 4, "intermediate_size": 32, "vocab_size": 32},
    "mistral": MISTRAL,
    "qwen2": QWEN2,
    "qwen2, tied": QWEN2 | {"tie_word_embeddings": True},
    "qwen3": QWEN3,
    "qwen3, tied": QWEN3 | {"tie_word_embeddings": True, "head_dim": 6, "num_key_value_heads": 1},
}


def random_weights(config: dict, kind: str = "float32") -> dict[str, np.ndarray]:
    """By Hugging Face's names, matrices [out, in]."""
    random = np.random.default_rng(5)
    hidden, inner, vocabulary = (config[name] for name in ("hidden_size", "intermediate_size", "vocab_size"))
    size = config.get("head_dim") or hidden // config["num_attention_heads"]
    heads, grouped = (size * config[f"num_{kind}_heads"] for kind in ("attention", "key_value"))
    outputs = {"q": heads, "k": grouped, "v": grouped}
    shapes = {"model.embed_tokens.weight": [vocabulary, hidden], "model.norm.weight": [hidden]}
    for layer in (f"model.layers.{number}." for number in range(config["num_hidden_layers"])):
        shapes |= {f"{layer}self_attn.{name}_proj.weight": [size, hidden] for name, size in outputs.items()}
        if config["model_type"] == "qwen2":
            shapes |= {f"{layer}self_attn.{name}_proj.bias": [size] for name, size in outputs.items()}
        if config["model_type"] == "qwen3":
            shapes |= {f"{layer}self_attn.{name}_norm.weight": [size] for name in "qk"}
        shapes |= {f"{layer}self_attn.o_proj.weight": [hidden, heads], f"{layer}mlp.down_proj.weight": [hidden, inner]}
        shapes |= {f"{layer}mlp.{name}_proj.weight": [inner, hidden] for name in ("gate", "up")}
        shapes |= {f"{layer}{name}_layernorm.weight": [hidden] for name in ("input", "post_attention")}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = [vocabulary, hidden]
    return {
        name: (random.normal(scale=0.3, size=shape) + (1.0 if "norm" in name else 0.0)).astype(KINDS[kind])
        for name, shape in shapes.items()
    }


def weights_of_head(kind: str, hidden: int, biased: bool = True) -> dict[str, np.ndarray]:
    """As Hugging Face's files have them: matrices lie [out, in]."""
    random, found = np.random.default_rng(8), {}
    for name, shape in HEADS[kind].shapes(hidden).items():
        if biased or name.endswith("weight"):
            found[name] = random.normal(scale=0.1, size=shape[::-1]).astype("float32")
    return found


def write(folder, config: dict, weights: dict, shards: int = 1):
    """A folder as transformers writes it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    places = {name: f"model-{1 + i % shards:05d}-of-{shards:05d}.safetensors" for i, name in enumerate(weights)}
    for file in set(places.values()):
        part = {name: weights[name] for name in weights if places[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    index = {"metadata": {"total_size": sum(array.nbytes for array in weights.values())}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def load(folder, dtype: str = "float32"):
    name = folder_module.find_model(str(folder))
    return patches.load_model(name, config_module.load_config(name), block_attention, dtype)


def refusal(folder) -> str:
    with pytest.raises(ValueError) as error:
        load(folder)
    assert str(folder) in str(error.value)
    return str(error.value)


def packed_rows(vocabulary: int):
    """Row 0: one long solution. Row 1: two solutions behind one prompt of 40 tokens, then a short one."""
    ids = np.random.default_rng(6).integers(0, vocabulary, [2, 120])
    positions = np.stack([np.arange(120), np.concatenate([np.arange(70), np.arange(40, 80), np.arange(10)])])
    ends = np.full([2, 120], 120)
    ends[1] = np.repeat([110, 70, 110, 120], [40, 30, 40, 10])
    return ids, positions, ends.astype("int32")


def errors_against_numpy(model, config: dict, weights: dict) -> tuple[float, float]:
    """Largest differences of hidden states and of reward logits."""
    ids, positions, ends = packed_rows(config["vocab_size"])
    scored = np.array([5, 119, 120 + 69, 120 + 109, 120 + 119])
    with paddle.no_grad():
        hidden = forward.hidden_states(model, *(paddle.to_tensor(array) for array in (ids, positions, ends)))
        hidden_KE = hidden.reshape([-1, hidden.shape[-1]]).gather(paddle.to_tensor(scored))
        logits = heads.reward_logits(model, hidden_KE, TOKENS)
    rows = [numpy_forward.hidden_states(config, weights, *row) for row in zip(ids, positions, ends, strict=True)]
    expected = np.concatenate(rows)[scored]
    expected_logits = numpy_forward.reward_logits(config, weights, expected, (TOKENS.positive, TOKENS.negative))
    return np.abs(hidden.numpy() - np.stack(rows)).max(), np.abs(logits.numpy() - expected_logits).max()
