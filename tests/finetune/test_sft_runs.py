"""Fine-tuning runs: they learn, resume as if they had not been stopped, and give the same under other layouts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm.core.files import read_json
from llm.export.export import main as export
from llm.export.merge_lora import main as merge
from llm.finetune.run_finetune import main
from tests.runs import assert_same_runs, assert_same_when_resumed, history, refusal, train_ranks

pytestmark = pytest.mark.runs


def test_a_run_learns_and_says_what_it_measured(flags_of, tmp_path, capsys):
    results = main(flags_of("one", max_steps=12, eval_steps=6, save_steps=6, learning_rate=3e-3))
    shown = " ".join(capsys.readouterr().out.split())
    assert "warning: 1 prompt without a line break at the end" in shown
    assert "tokens to learn in 43 answers" in shown  # 40 solutions, 2 of the dialogue, 1 of the chat
    logged = history(tmp_path / "one/out")
    assert logged[12, True]["eval_loss"] < logged[6, True]["eval_loss"]
    assert results["eval_perplexity"] == pytest.approx(np.exp(results["eval_loss"]), rel=1e-6)
    assert 0 < results["eval_accuracy"] < 1 and results["eval_answer_tokens"] > 100
    assert read_json(tmp_path / "one/out/config.json")["architectures"] == ["LlamaForCausalLM"]


@pytest.fixture(scope="module")
def straight(flags_in, made_once):
    """The output_dir of a run of one process."""
    return made_once("fine-tuned", lambda folder: main(flags_in(folder))) / "out"


def test_a_resumed_run_is_one_that_was_not_stopped(flags_of, straight, tmp_path):
    assert_same_when_resumed(straight, main, flags_of("again"), tmp_path / "again/out")


@pytest.mark.distributed
@pytest.mark.parametrize(
    "name, layout",
    [
        ("tensor", {"tensor_parallel_degree": 2}),
        ("stage3", {"sharding": "stage3", "gradient_accumulation_steps": 1}),
        ("pipeline", {"pipeline_parallel_degree": 2}),
    ],
)
def test_a_layout_gives_the_losses_of_one_process(flags_of, straight, tmp_path, name, layout):
    """What ranks with other rows, parts of a layer and other layers do with this objective; all layouts:
    tests/alignment/rm/test_layouts.py."""
    train_ranks(flags_of(name, **layout), tmp_path / name, script=main)
    assert_same_runs(straight, tmp_path / name / "out", tolerance=1e-4)


def test_adapters_have_nothing_of_rewards(flags_of, tmp_path, capsys):
    main(flags_of("lora", lora=True, lora_rank=2))
    (file,) = (tmp_path / "lora/out").glob("peft_model*.safetensors")
    assert {name.rpartition(".")[2] for name in load_file(file)} == {"lora_A", "lora_B"}
    assert "reward" not in capsys.readouterr().out.split("LoRA:")[1].split("update 1")[0]


@pytest.mark.parametrize("lora", [False, True])
def test_what_is_exported_for_transformers_is_the_model(flags_of, tmp_path, capsys, lora):
    results = main(flags_of("run", lora=lora, learning_rate=3e-3))
    export(["--to", "causal-lm", str(tmp_path / "run/out"), str(tmp_path / "exported")])
    names = set(load_file(tmp_path / "exported/model.safetensors"))
    assert {"model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight", "lm_head.weight"} <= names
    assert not [name for name in names if "lora" in name or "reward" in name]
    again = main(flags_of("again", model_name_or_path=tmp_path / "exported", do_train=False))
    assert again["eval_loss"] == pytest.approx(results["eval_loss"], rel=1e-5)
    flags = ["--to", "token-classification", str(tmp_path / "run/out"), str(tmp_path / "other")]
    assert "no rewards" in refusal(capsys, flags, export)


def test_merged_adapters_are_a_causal_lm_that_predicts_as_they_did(flags_of, tmp_path, capsys):
    """A plain model in PaddleNLP's form, which is fine-tuned further or exported as it is."""
    results = main(flags_of("run", lora=True, learning_rate=3e-3))
    merge([str(tmp_path / "run/out"), str(tmp_path / "merged")])
    merged = load_file(tmp_path / "merged/model.safetensors")
    assert not [name for name in merged if "lora" in name]
    assert read_json(tmp_path / "merged/settings.json")["lora"] is False
    again = main(flags_of("again", model_name_or_path=tmp_path / "merged", do_train=False))
    assert again["eval_loss"] == pytest.approx(results["eval_loss"], rel=1e-5)
    export(["--to", "causal-lm", str(tmp_path / "merged"), str(tmp_path / "exported")])
    exported = load_file(tmp_path / "exported/model.safetensors")
    up_proj = exported["model.layers.0.mlp.up_proj.weight"]
    np.testing.assert_array_equal(up_proj, merged["llama.layers.0.mlp.up_proj.weight"].T)
    (tmp_path / "run/out/answer_format.json").write_text('{"use_chat_template": 1}')
    (tmp_path / "run/out/finished-model.json").unlink()  # it has the checksum
    assert "use_chat_template is 1" in refusal(capsys, [str(tmp_path / "run/out"), str(tmp_path / "other")], merge)


def test_every_test_file_is_evaluated_by_itself(flags_of, answers, tmp_path, capsys):
    folder = tmp_path / "test"
    folder.mkdir()
    dev = answers["dev_dataset_path"].read_text()
    (folder / "all.jsonl").write_text(dev)
    (folder / "one.jsonl").write_text(dev.splitlines()[0])
    results = main(flags_of("run", test_dataset_dir=folder, max_steps=3, learning_rate=3e-3))
    assert results["test"].keys() == {"all.jsonl", "one.jsonl"}
    assert results["test"]["all.jsonl"]["test_loss"] == pytest.approx(results["eval_loss"], rel=1e-6)
    assert results["test"] == read_json(tmp_path / "run/out/test_results.json")
    assert "test data one.jsonl: loss" in capsys.readouterr().out
    model = {
        "model_name_or_path": tmp_path / "run/out",
        "do_train": False,
        "do_eval": False,
        "test_dataset_dir": folder,
    }
    again = main(flags_of("again", **model, test_files="one.jsonl", dev_dataset_path=..., train_dataset_path=...))
    assert again["test"]["one.jsonl"] == pytest.approx(results["test"]["one.jsonl"], rel=1e-5)
    shown = refusal(capsys, flags_of("wrong", **model, test_files="one.jsonl,two.jsonl"), main)
    assert "test_files" in shown and "has no two.jsonl; it has all.jsonl, one.jsonl" in shown
    assert "give that folder, too" in refusal(capsys, flags_of("alone", test_files="one.jsonl"), main)


def test_refusals(flags_of, tmp_path, capsys):
    data = tmp_path / "bad.jsonl"
    data.write_text(json.dumps({"src": ["a", "b"], "tgt": ["c"]}))
    assert "bad.jsonl:1" in refusal(capsys, flags_of("a", train_dataset_path=data), main)
    shown = refusal(capsys, flags_of("b", process_reward=True, metric_for_best_model="auc"), main)
    assert "process_reward" in shown and "loss, perplexity, accuracy" in shown
    assert "no chat template" in refusal(capsys, flags_of("c", use_chat_template=True), main)
