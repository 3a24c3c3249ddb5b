"""What the estimate proposes is what training would take."""

from __future__ import annotations

import json

import pytest

from llm.alignment.rm.flashmask.reward_task import TASK
from llm.estimate.changes import possible_changes
from llm.estimate.estimate import main, read_settings
from llm.estimate.plan import planned
from tests.estimate.test_estimate import outcome_of

MISTRAL = "llm/config/mistral/prm_flashmask_argument.json"
LLAMA = "llm/config/llama/prm_flashmask_argument.json"
LORA = "llm/config/qwen/prm_lora_argument.json"


def with_changes(flags: str, changes: dict) -> list:
    words = flags.split()
    after = dict(zip(words[::2], words[1::2], strict=True)) | {f"--{name}": value for name, value in changes.items()}
    return [word for flag in after.items() for word in flag]


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


@pytest.mark.parametrize(
    "start",
    [
        "--sharding stage2",
        "--lora true",
        "--sharding stage3",
        "--prm_loss vocabulary",
        "--use_flash_attention false --flash_mask false",
    ],
)
def test_training_takes_whatever_may_be_proposed(start):
    """None of them is refused: stages with stage 2, adapters in stages, parts of layers with stage 3 would be."""
    flags = f"--gpus 4 --tensor_parallel_degree 1 --sharding_parallel_degree 4 {start}"
    settings, sizes = read_settings(TASK, [LLAMA, *flags.split()])
    found = list(possible_changes(planned(settings, TASK), sizes, 4))
    assert len({json.dumps(changes) for _, changes in found}) == len(found)
    for _, changes in found:
        read_settings(TASK, [LLAMA, *map(str, with_changes(flags, changes))])


def test_an_update_keeps_its_rows_where_fewer_ranks_have_data(capsys):
    flags = "--gpus 8 --tensor_parallel_degree 1 --sharding_parallel_degree -1 --memory 24"
    outcome, _ = outcome_of(capsys, LLAMA, *flags.split())
    changes = outcome["changes"]
    assert changes["gradient_accumulation_steps"] == 8 * changes["tensor_parallel_degree"]
    again, _ = outcome_of(capsys, LLAMA, *with_changes(flags, changes))
    assert again["fits"] and again["tokens_of_update"] == outcome["tokens_of_update"]


def test_a_pipeline_is_proposed_where_layers_cannot_be_cut_further(capsys):
    """Two key and value heads: two parts of a layer at most; sequence parallelism comes with them. What is proposed is
    accepted."""
    sizes = "--model_type llama --vocab_size 32000 --hidden_size 8192 --intermediate_size 28672 --num_hidden_layers 40 "
    sizes += "--num_attention_heads 64 --num_key_value_heads 2 --max_position_embeddings 8192"
    flags = f"{sizes} --gpus 16 --tensor_parallel_degree 1 --sharding_parallel_degree 1 --memory 60"
    changes = outcome_of(capsys, LLAMA, *flags.split())[0]["changes"]
    assert changes["pipeline_parallel_degree"] > 1
    assert outcome_of(capsys, LLAMA, *with_changes(flags, changes))[0]["fits"]
