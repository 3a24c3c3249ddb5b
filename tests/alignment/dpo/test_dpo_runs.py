"""Trainings on pairs: they learn, resume as if they had not been stopped, and give the same under other layouts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from llm.alignment.dpo.run_dpo import main
from llm.core.files import read_json
from tests.runs import assert_same_runs, assert_same_when_resumed, history, refusal, train_ranks

pytestmark = pytest.mark.runs
LORA = {"lora": True, "lora_rank": 2, "learning_rate": 3e-3}  # its reference is the policy without adapters
ONE_OF_EIGHT = {"gradient_accumulation_steps": 1, "per_device_train_batch_size": 8}
TWO_OF_FOUR = {"gradient_accumulation_steps": 1, "per_device_train_batch_size": 4}


def test_a_run_learns_and_says_what_it_measured(flags_of, tmp_path, capsys):
    results = main(flags_of("one", max_steps=12, eval_steps=6, save_steps=6, learning_rate=1e-3))
    shown = " ".join(capsys.readouterr().out.split())
    assert "32 records read" in shown and "36 pairs of answers" in shown  # 30, five of the group, one of the chat
    assert "reference: " in shown and "a second model" in shown
    logged = history(tmp_path / "one/out")
    first = logged[1, False]
    assert first["loss"] == pytest.approx(math.log(2), rel=1e-6)  # the policy is its own reference yet
    assert first["ties"] == 1 and first["margin"] == first["kl"] == 0
    assert logged[12, True]["eval_loss"] < logged[6, True]["eval_loss"] < math.log(2)
    assert results["eval_margin"] == pytest.approx(results["eval_chosen_reward"] - results["eval_rejected_reward"])
    assert results["eval_accuracy"] > 0.5 and results["eval_pairs"] == 16
    assert results["eval_chosen_logp"] < 0 and results["eval_rejected_logp"] < 0
    assert read_json(tmp_path / "one/out/config.json")["architectures"] == ["LlamaForCausalLM"]


@pytest.fixture(scope="module")
def one_process(flags_in, made_once):
    """one_process(name, changes): the output_dir of that run, which is made once."""

    def run(name: str, changes: dict) -> Path:
        return made_once(f"pairs of answers, {name}", lambda folder: main(flags_in(folder, **changes))) / "out"

    return run


def test_a_resumed_run_is_one_that_was_not_stopped(flags_of, one_process, tmp_path):
    assert_same_when_resumed(one_process("plain", {}), main, flags_of("again"), tmp_path / "again/out")


def test_a_checkpoint_of_another_reference_is_refused(flags_of, tmp_path, other_model, capsys):
    main(flags_of("one", max_steps=3))
    again = flags_of("one", reference_model_name_or_path=other_model)
    assert "reference" in refusal(capsys, again, main)


def test_accumulation_packing_and_the_ways_to_a_reference_change_nothing(flags_of, one_process, tmp_path, tiny):
    main(flags_of("at once", **ONE_OF_EIGHT))
    assert_same_runs(one_process("plain", {}), tmp_path / "at once/out", tolerance=1e-5)
    adapters_off = one_process("adapters", LORA)
    main(flags_of("second model", **LORA, reference_model_name_or_path=tiny / "model"))
    assert_same_runs(adapters_off, tmp_path / "second model/out", tolerance=1e-5)
    assert history(adapters_off)[6, True]["eval_kl"] != 0


def test_an_update_over_all_data_is_the_same_when_it_is_read_while_training(flags_of, tmp_path, other_model):
    """Two passes: a stream begins again."""
    all_pairs = {"per_device_train_batch_size": 36, "gradient_accumulation_steps": 1, "prefix_sharing": False}
    changes = {"max_steps": 2, "do_eval": False, "reference_model_name_or_path": other_model}
    changes |= {"load_best_model_at_end": False, "evaluation_strategy": "no", "save_strategy": "no"}
    found = []
    for lazy in (False, True):
        main(flags_of(str(lazy), lazy=lazy, **all_pairs, **changes))
        found.append(history(tmp_path / f"{lazy}/out"))
    for step in (1, 2):
        one, other = ({name: value for name, value in run[step, False].items() if name != "epoch"} for run in found)
        assert other == pytest.approx(one, rel=1e-5)


@pytest.mark.distributed
@pytest.mark.parametrize(
    "name, changes, layout",
    [
        ("other reference", {}, {"tensor_parallel_degree": 2, "sequence_parallel": True}),
        ("adapters", LORA, {"tensor_parallel_degree": 2}),
        ("kto_pair", {"loss_type": "kto_pair"} | ONE_OF_EIGHT, {"sharding": "stage1"} | TWO_OF_FOUR),
        ("other reference", {}, {"sharding": "stage3"} | TWO_OF_FOUR),
    ],
)
def test_a_layout_gives_the_losses_of_one_process(flags_of, one_process, tmp_path, other_model, name, changes, layout):
    """Under kto_pair every pair is compared with those of both ranks."""
    changes = changes if "lora" in changes else {"reference_model_name_or_path": other_model} | changes
    train_ranks(flags_of("layout", **changes | layout), tmp_path / "layout", script=main)
    assert_same_runs(one_process(name, changes), tmp_path / "layout/out", tolerance=1e-4)


def test_refusals(flags_of, tmp_path, capsys):
    data = tmp_path / "bad.jsonl"
    data.write_text(json.dumps({"prompt": "a", "chosen": "b"}))
    assert "bad.jsonl:1" in refusal(capsys, flags_of("a", train_dataset_path=data), main)
    shown = refusal(
        capsys,
        flags_of(
            *("b",),
            label_smoothing=0.1,
            simpo_gamma=1.0,
            reference_free=True,
            reference_model_name_or_path=tmp_path,
            metric_for_best_model="kl",
        ),
        main,
    )
    for name in ("label_smoothing", "simpo_gamma", "reference_model_name_or_path", "metric_for_best_model"):
        assert name in shown
    shown = refusal(capsys, flags_of("c", loss_type="robust", reference_model_name_or_path="./nowhere"), main)
    assert "label_smoothing" in shown and "nowhere" in shown
    shown = refusal(capsys, flags_of("d", pipeline_parallel_degree=2), main)
    assert "pipeline of its own; write reference_logprobs" in shown
    shown = refusal(capsys, flags_of("e", loss_type="kto_pair"), main)
    assert "gradient_accumulation_steps = 2: loss_type kto_pair needs the log-ratios of all pairs" in shown
