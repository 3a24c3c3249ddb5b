"""A setting of config.json that changes what a model computes is obeyed or refused; so are architectures."""

from __future__ import annotations

import json

import pytest

from llm.core.model import config as config_module
from llm.core.model.families import FAMILIES
from tests.core.model_folders import LLAMA, LLAMA3_ROPE, MISTRAL, QWEN2, QWEN3


@pytest.mark.parametrize(
    ("config", "name", "value", "supported"),
    [
        *(
            (config, "rope_scaling", {"type": kind, "factor": 4.0}, "null")
            for config in (LLAMA, MISTRAL, QWEN2, QWEN3)
            for kind in ("linear", "dynamic", "yarn")
        ),
        (MISTRAL, "rope_scaling", LLAMA3_ROPE, "null"),
        (QWEN2, "rope_scaling", LLAMA3_ROPE, "null"),
        (QWEN2, "rope_parameters", {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6}, "null"),
        (LLAMA, "rope_scaling", {"rope_type": "llama3", "factor": 8.0}, "low_freq_factor, high_freq_factor"),
        (LLAMA, "rope_scaling", LLAMA3_ROPE | {"low_freq_factor": 4.0}, "smaller than high_freq_factor"),
        (LLAMA, "rope_scaling_type", "dynamic_ntk", "None"),
        (LLAMA, "partial_rotary_factor", 0.5, "1.0"),
        (LLAMA, "alibi", True, "False"),
        (LLAMA, "attention_bias", True, "False"),
        (LLAMA, "mlp_bias", True, "False"),
        (LLAMA, "attention_dropout", 0.1, "0.0"),
        (LLAMA, "hidden_act", "gelu", "'silu'"),
        (QWEN2, "hidden_act", "gelu_new", "'silu'"),
        (LLAMA, "head_dim", 16, "hidden_size / num_attention_heads = 8"),
        (MISTRAL, "head_dim", 16, "hidden_size / num_attention_heads = 8"),
        (MISTRAL, "tie_word_embeddings", True, "False"),
        (QWEN2, "use_sliding_window", True, "False"),
        (QWEN2, "layer_types", ["full_attention", "sliding_attention"], "full_attention"),
        (QWEN3, "attention_bias", True, "False"),
        (QWEN3, "use_sliding_window", True, "False"),
        (QWEN3, "layer_types", ["full_attention", "sliding_attention"], "full_attention"),
        (QWEN3, "head_dim", 7, "even number"),
        (QWEN3, "head_dim", None, "whole number"),
        (QWEN3, "num_key_value_heads", 3, "not a multiple"),
        (LLAMA, "num_attention_heads", 5, "not a multiple"),
        (LLAMA, "num_key_value_heads", 3, "not a multiple"),
        (LLAMA, "num_key_value_heads", "2", "whole number"),
        (LLAMA, "num_hidden_layers", None, "whole number"),
        (LLAMA, "num_hidden_layers", 2.0, "whole number"),
        (LLAMA, "hidden_size", True, "whole number"),
        (LLAMA, "tie_word_embeddings", "false", "true or false"),
        (LLAMA, "rope_scaling", LLAMA3_ROPE | {"factor": 0}, "factor must be given as numbers from"),
        (LLAMA, "max_position_embeddings", None, "whole number"),
        (QWEN2, "rope_theta", "1e6", "number from 1 to 1e+15"),
        (QWEN2, "rope_theta", 2**63, "number from 1 to 1e+15"),
        (LLAMA, "rope_theta", 1e-300, "number from 1 to 1e+15"),
        (LLAMA, "rms_norm_eps", 1e300, "number from 1e-20 to 1"),
        (LLAMA, "rope_scaling", LLAMA3_ROPE | {"factor": 1e-300}, "factor must be given as numbers from"),
        (LLAMA, "quantization_config", {"quant_method": "gptq", "bits": 4}, "None"),
        (LLAMA, "fuse_attention_qkv", True, "False"),
    ],
)
def test_what_would_be_left_out_of_the_computation_is_refused(config, name, value, supported, tmp_path):
    """PaddleNLP's models pass over these without a word. No weight is read: there is none."""
    (tmp_path / "config.json").write_text(json.dumps(config | {name: value}))
    with pytest.raises(ValueError) as error:
        config_module.load_config(str(tmp_path))
    shown = value.get("rope_type", value.get("type", value)) if isinstance(value, dict) else value
    for text in (str(tmp_path), name, repr(shown), supported):
        assert text in str(error.value)


@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [
        ("gemma2", "Gemma2ForCausalLM"),
        ("qwen2_moe", "Qwen2MoeForCausalLM"),
        ("qwen2_vl", "Qwen2VLForConditionalGeneration"),
        ("qwen3_moe", "Qwen3MoeForCausalLM"),
        ("qwen3", "Qwen3MoeForCausalLM"),
        ("phi3", "Phi3ForCausalLM"),
        ("deepseek_v3", "DeepseekV3ForCausalLM"),
        ("nobody_knows", "NobodyKnows"),
        (None, "LlamaForCausalLM"),
        (["llama"], "LlamaForCausalLM"),
        ("llama", "LlamaForSequenceClassification"),
        ("llama", "LlamaModel"),
        ("llama", "MistralForCausalLM"),
        ("qwen2", "Qwen2ForProcessRewardModel"),
    ],
)
def test_other_architectures_are_refused_by_name_before_weights_are_read(model_type, architecture, tmp_path):
    config = LLAMA | {"model_type": model_type, "architectures": [architecture]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError) as error:
        config_module.load_config(str(tmp_path))
    for text in (str(tmp_path), repr(model_type), architecture, *FAMILIES, "Qwen2ForCausalLM"):
        assert text in str(error.value)
