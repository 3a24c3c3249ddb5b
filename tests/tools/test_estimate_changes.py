"""What the estimate proposes is what training would take."""

from __future__ import annotations

import json

import pytest

from llm.tools.estimate import main
from tests.tools.test_estimate import outcome_of

MISTRAL = "llm/config/mistral/prm_flashmask_argument.json"
LLAMA = "llm/config/llama/prm_flashmask_argument.json"
LORA = "llm/config/qwen/prm_lora_argument.json"


def test_models_that_training_refuses_are_refused(tmp_path, capsys):
    sizes = "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads"
    config = {"model_type": "mistral", **dict.fromkeys(sizes.split(), 4)}
    for change, told in (
        ({"head_dim": 32}, "head_dim 32"),
        ({"architectures": ["X"]}, "architectures ['X']"),
        ({"num_hidden_layers": 2.0}, "whole number"),
        ({"rope_scaling": [1]}, "rope_scaling"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(SystemExit):
            main([MISTRAL, "--model_name_or_path", str(tmp_path)])
        assert told in capsys.readouterr().err


def test_a_target_written_twice_is_one(capsys):
    once, twice = (
        outcome_of(capsys, LORA, "--lora_target_modules", *targets)[0] for targets in (["q_proj"], ["q_proj", "q_proj"])
    )
    assert once == twice


def test_all_ranks_share_before_anything_slower_is_proposed(capsys):
    """Two of eight ranks share the state; eight would do."""
    flags = "--gpus 8 --tensor_parallel_degree 1 --sharding_parallel_degree 2"
    outcome, _ = outcome_of(capsys, LLAMA, *flags.split(), "--memory", "75")
    assert outcome["changes"] == {"sharding": "stage1", "sharding_parallel_degree": -1}
    stage3 = "--gpus 8 --tensor_parallel_degree 1 --sharding_parallel_degree 8 --sharding stage3 --memory 22"
    changes = outcome_of(capsys, LLAMA, *stage3.split())[0]["changes"]
    assert changes is None or "tensor_parallel_degree" not in changes
