"""`python -m llm estimate`: what it prints, proposes and refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from llm.alignment.rm.flashmask.reward_task import TASK
from llm.core.model.shapes import projections
from llm.core.model.sizes import sizes_of
from llm.estimate.estimate import main, read_settings
from llm.estimate.memory import GIB
from llm.estimate.model_sizes import adapters, count, tensors
from tests.estimate.test_memory import SMALL

REPOSITORY = Path(__file__).resolve().parents[2]
MISTRAL = "llm/config/mistral/prm_flashmask_argument.json"


def outcome_of(capsys, *argv) -> tuple[dict, str]:
    main([*map(str, argv)])
    out = capsys.readouterr().out
    return json.loads(out.splitlines()[-1]), out


def refusal(capsys, *argv) -> str:
    with pytest.raises(SystemExit) as end:
        main([*map(str, argv)])
    assert end.value.code == 2
    return capsys.readouterr().err


def test_the_documented_configuration(capsys):
    outcome, out = outcome_of(capsys, MISTRAL)
    assert outcome["gpus"] == 4 and outcome["tensor_parallel"] == 4 and outcome["fits"]
    assert outcome["parameters"] == outcome["trained"] == 7_241_732_096
    assert sum(outcome["bytes"].values()) == outcome["peak_bytes"] < 80 * GIB
    assert f"at most   {outcome['peak_bytes'] / GIB:>8.2f}\n" in out and "\nfits into 80 GiB" in out


def test_gpus_that_a_degree_does_not_divide_are_refused_with_what_an_estimate_takes(capsys):
    """There is no run that a launcher could start."""
    shown = refusal(capsys, "llm/config/llama/prm_flashmask_argument.json", "--gpus", 3)
    assert "sharding_parallel_degree = 4" in shown and "give another number of --gpus" in shown
    assert "write -1 for all" in shown and "distributed.launch" not in shown


@pytest.mark.parametrize(
    "flags",
    [
        "--gpus 4 --tensor_parallel_degree 1 --sharding_parallel_degree -1 --per_device_train_batch_size 2",
        "--gpus 8 --tensor_parallel_degree 1 --sharding_parallel_degree 8 --memory 40",
        "--gpus 1 --tensor_parallel_degree 1 --memory 80",
        "--gpus 2 --tensor_parallel_degree 2 --use_flash_attention false --flash_mask false --memory 64",
        "--gpus 4 --tensor_parallel_degree 1 --sharding_parallel_degree 4 --memory 60 --prm_loss vocabulary",
    ],
)
def test_the_change_that_is_proposed_fits(capsys, flags):
    """Given as flags, as it is printed; and none of its parts can be left out."""
    outcome, out = outcome_of(capsys, MISTRAL, *flags.split())
    assert not outcome["fits"] and outcome["peak_bytes"] > outcome["memory_bytes"]
    words = flags.split()
    before = dict(zip(words[::2], words[1::2], strict=True))
    proposed = re.search(r"^cheapest change that fits \(.*\): (.*)$", out, re.MULTILINE)[1].split()
    changes = dict(zip(proposed[::2], proposed[1::2], strict=True))

    def judged(changes: dict) -> dict:
        return outcome_of(capsys, MISTRAL, *(word for flag in (before | changes).items() for word in flag))[0]

    assert judged(changes)["fits"]
    assert judged(changes)["peak_bytes"] == outcome["peak_bytes_with_changes"]
    for left_out in changes:
        try:
            assert not judged({name: value for name, value in changes.items() if name != left_out})["fits"] or (
                left_out in ("--gradient_accumulation_steps", "--recompute_granularity", "--sharding_parallel_degree")
            )
        except SystemExit:  # refused: FlashMask needs both of its settings
            capsys.readouterr()


def test_nothing_helps(capsys):
    outcome, out = outcome_of(capsys, MISTRAL, "--memory", 8)
    assert outcome["changes"] is None and "more GPUs" in out


def test_a_folder_is_read_without_weights(tiny, tmp_path, capsys):
    (tmp_path / "model").mkdir()
    config = (tiny / "model/config.json").read_text(encoding="utf-8")
    (tmp_path / "model/config.json").write_text(config, encoding="utf-8")
    flags = "--train_dataset_path", "not-here.jsonl", "--bf16", "false"
    outcome, _ = outcome_of(capsys, "--model_name_or_path", tmp_path / "model", *flags)
    assert outcome["parameters"] == count(tensors(sizes_of(json.loads(config), "here")))
    assert outcome["tokens"] == 512 and outcome["precision"] == "float32"


def test_sizes_as_flags(capsys):
    sizes = {
        name: getattr(SMALL, name)
        for name in (
            "model_type",
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
        )
    }
    sizes["max_position_embeddings"] = 8192
    words = [word for name, value in sizes.items() for word in (f"--{name}", value)]
    assert outcome_of(capsys, MISTRAL, "--tensor_parallel_degree", 1, *words)[0]["parameters"] == count(tensors(SMALL))
    told = refusal(capsys, MISTRAL, *words[:2])
    assert "the sizes written as flags: " in told and "vocab_size is missing" in told


@pytest.mark.parametrize(
    "flags, told",
    [
        ("--model_name_or_path null", "not a folder here"),
        ("--model_name_or_path someone/unknown", "not a folder here, and not one of the models whose sizes are known"),
        ("--gpus 6", "the run has 6 processes, which it does not divide"),
        ("--gpus 8 --sharding_parallel_degree 8", "leave 2 with data of their own, which it does not divide"),
        ("--gpus 3 --tensor_parallel_degree 3", "does not divide the model's num_attention_heads 32"),
        ("--pipeline_parallel_degree 2", "Mistral has no code for it"),
        (
            "--recompute true --recompute_granularity core_attn",
            "PaddleNLP's Mistral recomputes whole layers or nothing",
        ),
        ("--link_gb 0", "must be from 1 to"),
        ("--gpus 0", "must be from 1 to"),
        ("--overhead -1", "must be from 0 to"),
        ("--do_train false", "memory of training"),
        ("--lora true --lora_target_modules q_prj", "'q_prj'"),
        ("--memry 40", "write memory"),
    ],
)
def test_refusals(capsys, flags, told):
    assert told in refusal(capsys, MISTRAL, *flags.split())


def test_what_is_wrong_with_a_folder_is_told(tmp_path, capsys):
    config = tmp_path / "config.json"
    small = {
        "model_type": "llama",
        "vocab_size": 10,
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
    }
    for content, told in (
        ("{", "no configuration could be read"),
        ("[]", "no configuration could be read"),
        ('{"model_type": "gpt2"}', "model_type 'gpt2'"),
        ('{"model_type": "llama"}', "vocab_size is missing: a whole number"),
        (json.dumps(small), "num_attention_heads 3: hidden_size 8 is not a multiple"),
        (json.dumps(small | {"vocab_size": "10"}), "vocab_size '10': a whole number"),
    ):
        config.write_text(content, encoding="utf-8")
        assert told in refusal(capsys, MISTRAL, "--model_name_or_path", tmp_path), content


def test_every_projection_can_be_adapted():
    assert read_settings(TASK, [MISTRAL, "--lora", "true", "--lora_target_modules", *projections(SMALL)])
    assert count(adapters(SMALL, 2, None)) == count(adapters(SMALL, 2, list(projections(SMALL))))


def test_what_the_page_shows_is_what_its_command_prints(capsys):
    page = (REPOSITORY / "docs/estimate.md").read_text(encoding="utf-8")
    screen = re.search(r"```text\n(.*?)\n```", page, re.DOTALL)[1]
    commands = [line for line in page.splitlines() if line.startswith(".venv/bin/python -m llm estimate")]
    _, out = outcome_of(capsys, *commands[1].split()[4:])
    assert out.startswith(screen + "\n\n{")
