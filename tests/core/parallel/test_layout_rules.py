"""Which layouts there are, and what is said where one cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from llm.alignment.rm.flashmask.reward_argument import CLASSES
from llm.core.checkpoint import compatibility
from llm.core.parallel import layout
from llm.core.settings.parse import parse
from llm.core.settings.settings import Settings, SettingsError

NEEDED = ["--model_name_or_path", "m", "--train_dataset_path", "t"]


def settings_of(**values) -> Settings:
    flags = NEEDED + [word for name, value in values.items() for word in (f"--{name}", str(value))]
    return parse(CLASSES, flags, "")


def resolved(ranks: int, has_cuda: bool = False, **values) -> Settings:
    settings = settings_of(**values)
    layout.resolve(settings, ranks, has_cuda)
    settings.check()
    return settings


def refusals(ranks: int, **values) -> list[str]:
    """One line for each problem."""
    with pytest.raises(SettingsError) as refused:
        resolved(ranks, **values)
    return refused.value.problems


def tensor(degree: int) -> dict:
    return {"tensor_parallel_degree": degree}


def pipeline(degree: int) -> dict:
    return {"pipeline_parallel_degree": degree}


LAYOUTS = [  # (processes, settings, ranks with data of their own)
    (1, {}, 1),
    (4, {}, 4),
    (2, {"sharding": "stage3"}, 2),
    (4, {"sharding": "stage2", "sharding_parallel_degree": 2}, 4),
    (2, tensor(2), 1),
    (2, tensor(2) | {"sequence_parallel": True}, 1),
    (8, tensor(2) | {"sharding": "stage2"}, 4),
    (4, pipeline(2) | {"sharding": "stage1"}, 2),
    (8, tensor(2) | pipeline(2) | {"sharding_parallel_degree": 2}, 2),
    (2, tensor(2) | {"lora": True}, 1),
    (2, {"lora": True, "sharding": "stage2"}, 2),
]


@pytest.mark.parametrize(("ranks", "values", "with_data"), LAYOUTS)
def test_layouts_that_there_are(ranks, values, with_data):
    settings = resolved(ranks, **values)
    assert layout.layout_of(settings, ranks).data_ranks == with_data
    for name, value in values.items():
        assert settings[name] == value


REFUSED = [  # (processes, settings, the setting that is refused, what is to be done)
    (2, tensor(0), "tensor_parallel_degree", "-1 or from 1 to"),
    (2, pipeline(-2), "pipeline_parallel_degree", "-1 or from 1 to"),
    (1, tensor(2), "tensor_parallel_degree", "start it with python -m paddle.distributed.launch"),
    (3, pipeline(2), "pipeline_parallel_degree", "as many processes"),
    (3, {"sharding_parallel_degree": 2}, "sharding_parallel_degree", "as many processes"),
    (6, tensor(2) | pipeline(2) | {"sharding_parallel_degree": 1}, "pipeline_parallel_degree", "lower one of them"),
    (4, tensor(2) | {"sharding_parallel_degree": 4}, "sharding_parallel_degree", "lower it"),
    (2, {"sharding_parallel_degree": 2, "sharding": ""}, "sharding_parallel_degree", "write sharding stage1, stage2"),
    (2, tensor(2) | {"sharding": "stage3"}, "sharding", "write stage1 or stage2"),
    (2, pipeline(2) | {"sharding": "stage2"}, "sharding", "write stage1"),
    (2, pipeline(2) | {"sharding": "stage3"}, "sharding", "write stage1"),
    (2, {"sequence_parallel": True}, "sequence_parallel", "write tensor_parallel_degree, too"),
    (
        2,
        pipeline(2) | {"virtual_pp_degree": 2},
        "virtual_pp_degree",
        "must be 1: a rank has one stage of the pipeline here",
    ),
    (2, pipeline(2) | {"lora": True}, "lora", "write tensor_parallel_degree or sharding"),
    (2, {"sharding": "stage3", "lora": True}, "sharding", "write stage1 or stage2"),
    (2, tensor(2) | {"unified_checkpoint": False}, "unified_checkpoint", "write true, or leave it out"),
    (2, pipeline(2) | {"unified_checkpoint": False}, "unified_checkpoint", "write true, or leave it out"),
    (2, {"sharding_parallel_config": "enable_stage1_tensor_fusion"}, "sharding_parallel_config", "leave it out"),
    (2, tensor(2) | {"sharding_parallel_config": "split_param"}, "sharding_parallel_config", "leave it out"),
    (2, {"tensor_parallel_config": "enable_mp_async_allreduce"}, "tensor_parallel_config", "leave it out"),
    (2, tensor(2) | {"prm_loss": "vocabulary"}, "prm_loss", "write tensor_parallel_degree 1"),
    (1, {"lora": True, "prm_loss": "vocabulary"}, "prm_loss", "write reward_tokens, or lora false"),
]


@pytest.mark.parametrize(("ranks", "values", "name", "remedy"), REFUSED)
def test_layouts_that_there_are_not_are_refused_with_what_to_do(ranks, values, name, remedy):
    (problem,) = refusals(ranks, **values)
    assert f"{name} " in problem or f"{name}:" in problem
    assert str(values[name]) in problem or isinstance(values[name], bool)
    assert remedy in problem


@pytest.mark.parametrize("divided", [{"tensor": 2}, {"pipeline": 2}])
def test_a_vocabulary_that_has_to_grow_must_be_whole(divided):
    task = layout.Task(grows_vocabulary=True)
    ((name, why),) = layout.problems_of_run(layout.Layout(ranks=2, **divided), task)
    assert name == "add_placeholder_token" and "choose a placeholder_token" in why
    assert not list(layout.problems_of_run(layout.Layout(ranks=2), task))


def test_all_problems_of_a_layout_are_told_at_once():
    told = refusals(3, **tensor(2), **pipeline(2), sequence_parallel=False, virtual_pp_degree=2)
    assert [name for line in told for name in ("tensor_p", "pipeline_p", "virtual_pp") if f" {name}" in f" {line}"]
    assert len(told) == 3


def test_on_gpus_stage1_may_fuse_its_tensors():
    settings = resolved(2, has_cuda=True, sharding_parallel_config="enable_stage1_tensor_fusion")
    assert settings["sharding_parallel_config"]


def test_one_process_shares_nothing():
    assert resolved(1)["sharding"] == "" and resolved(2)["sharding"] == "stage1"


# ---- beside a model

MODEL = {
    "model_type": "llama",
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
}


def fit(changes: dict, **values) -> list[str]:
    settings = settings_of(**values)
    layout.fit_to_model(settings, SimpleNamespace(**MODEL | changes))
    return settings.problems


@pytest.mark.parametrize(
    ("changes", "values"),
    [
        ({}, tensor(4)),
        ({}, pipeline(3)),
        ({"model_type": "qwen2"}, tensor(2) | {"sequence_parallel": True}),
        ({"model_type": "mistral"}, tensor(2)),
        ({"model_type": "mistral"}, {"recompute_granularity": "full_attn"}),  # which does nothing without recompute
        ({"model_type": "llama"}, {"recompute": True, "recompute_granularity": "full_attn"}),
    ],
)
def test_what_a_model_can_be_divided_into(changes, values):
    assert fit(changes, **values) == []


@pytest.mark.parametrize(
    ("changes", "values", "name", "why", "remedy"),
    [
        ({"num_attention_heads": 6}, tensor(4), "tensor_parallel_degree", "num_attention_heads 6", "write a divisor"),
        ({"num_key_value_heads": 2}, tensor(4), "tensor_parallel_degree", "num_key_value_heads 2", "write a divisor"),
        ({"intermediate_size": 22}, tensor(4), "tensor_parallel_degree", "intermediate_size 22", "write a divisor"),
        ({}, pipeline(4), "pipeline_parallel_degree", "3 layers", "write fewer stages"),
        ({"model_type": "mistral"}, pipeline(2), "pipeline_parallel_degree", "Mistral", "write tensor_parallel_degree"),
        (
            {"model_type": "mistral"},
            tensor(2) | {"sequence_parallel": True},
            "sequence_parallel",
            "Mistral",
            "write tensor_parallel_degree",
        ),
        (
            {"model_type": "mistral"},
            {"recompute": True, "recompute_granularity": "full_attn"},
            "recompute_granularity",
            "Mistral",
            "write full",
        ),
    ],
)
def test_what_a_model_cannot_be_divided_into(changes, values, name, why, remedy):
    (problem,) = fit(changes, **values)
    assert name in problem and why in problem and remedy in problem


# ---- of checkpoints

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.fixture
def checkpoint_of(tmp_path):
    """A checkpoint whose optimiser has state of these weights."""

    def write(*names: str) -> Path:
        places = {f"{name}/{kind}_0": "optimizer.safetensors" for name in names for kind in ("moment1", "moment2")}
        (tmp_path / "optimizer.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
        return tmp_path

    return write


def test_a_pipeline_does_not_go_on_from_one_copy_of_a_shared_matrix(checkpoint_of):
    checkpoint = checkpoint_of(EMBEDDING, "model.norm.weight")
    with pytest.raises(ValueError, match="pipeline_parallel_degree: .* Resume without a pipeline, or start"):
        compatibility.check_stages(checkpoint, stages=2, tied=True)
    compatibility.check_stages(checkpoint, stages=-1, tied=True)
    compatibility.check_stages(checkpoint, stages=2, tied=False)
    compatibility.check_stages(None, stages=2, tied=True)
    compatibility.check_stages(checkpoint_of(EMBEDDING, HEAD), stages=2, tied=True)


def of_checkpoints(ranks: int, **values) -> str:
    return layout.of_checkpoints(resolved(ranks, **values), ranks)


def test_a_unified_checkpoint_goes_on_under_any_layout_and_others_under_their_own():
    assert of_checkpoints(4, **tensor(2)) == of_checkpoints(1) == "any"
    told = {
        of_checkpoints(ranks, unified_checkpoint=False, **values)
        for ranks, values in [
            (4, {}),
            (2, {}),
            (4, {"sharding": "stage2"}),
            (4, {"sharding": ""}),
            (4, {"sharding_parallel_degree": 2}),
        ]
    }
    assert len(told) == 5
    assert of_checkpoints(2, sharding="stage3", unified_checkpoint=False) == (
        "ranks 2, tensor_parallel_degree 1, pipeline_parallel_degree 1, sharding_parallel_degree 1, sharding stage3"
    )
