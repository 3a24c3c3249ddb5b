"""Every documented setting: its default, and that it is obeyed or refused."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from llm.alignment.rm.flashmask import reward_checks, run_reward
from llm.alignment.rm.flashmask.data import RewardRows, RowCounts
from llm.alignment.rm.flashmask.reward_argument import CLASSES, MISPRINTS, is_unobeyed
from llm.alignment.rm.flashmask.reward_run import RewardRun, fit_to_data
from llm.core.model import attention
from llm.core.model.sizes import KNOWN
from llm.core.records.records import LABELLED
from llm.core.settings.display import render
from llm.core.settings.parse import parse
from llm.core.settings.settings import SettingsError

REPOSITORY = Path(__file__).resolve().parents[3]
NEEDED = ["--model_name_or_path", "m", "--train_dataset_path", "t", "--dev_dataset_path", "d"]

# As the document has them; None where it names no default.
DOCUMENTED = {
    "output_dir": "./checkpoints/dpo_ckpts",
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 8,
    "per_device_eval_batch_size": 1,
    "num_train_epochs": 1,
    "max_steps": 100,
    "learning_rate": 1e-06,
    "warmup_steps": 10,
    "logging_steps": 1,
    "evaluation_strategy": None,
    "save_strategy": None,
    "eval_steps": 100,
    "save_steps": 500,
    "bf16": True,
    "fp16_opt_level": "O2",
    "do_train": True,
    "do_eval": True,
    "load_best_model_at_end": True,
    "tensor_parallel_degree": None,
    "sharding_parallel_degree": None,
    "sharding": "stage1",
    "recompute": None,
    "recompute_granularity": "full",
    "unified_checkpoint": True,
    "process_reward": None,
    "train_dataset_path": None,
    "dev_dataset_path": None,
    "max_seq_len": 4096,
    "max_prompt_len": 2048,
    "autotuner_benchmark": False,
    "benchmark": False,
    "zero_padding": True,
    "greedy_zero_padding": False,
    "lazy": False,
    "model_name_or_path": None,
    "tokenizer_name_or_path": None,
    "use_flash_attention": False,
    "flash_mask": None,
    "virtual_pp_degree": 1,
    "placeholder_token": "ки",
    "reward_tokens": "+,-",
}


LLAMA = KNOWN["meta-llama/Meta-Llama-3.1-8B"]


def settings_from(*flags: str):
    settings = parse(CLASSES, [*NEEDED, *flags], "", MISPRINTS, is_unobeyed)
    settings.check()
    return settings


def run_of(*flags: str, **machine) -> RewardRun:
    settings = resolved(*flags, **machine)
    return RewardRun(settings, *settings.build(), "m", LLAMA, LABELLED, machine.get("ranks", 1))


def steps_of(run: RewardRun, rows: int) -> tuple[int, int | None]:
    """(updates of the run, updates in a pass) with so many rows of data."""
    fitted = fit_to_data(run, RewardRows([], None, None, RowCounts(rows=rows), lazy=False))
    return fitted.steps, fitted.steps_per_pass


def resolved(*flags: str, ranks: int = 1, has_cuda: bool = False):
    settings = settings_from(*flags)
    reward_checks.resolve(settings, ranks, has_cuda)
    return settings


def refusal(*flags: str, **machine) -> str:
    with pytest.raises(SettingsError) as error:
        resolved(*flags, **machine)
    return str(error.value)


def logs(output_dir: Path) -> list[dict]:
    return json.loads((output_dir / "trainer_state.json").read_text())["log_history"]


def test_every_documented_setting_exists_with_its_default():
    settings = settings_from()
    for name, default in DOCUMENTED.items():
        assert name in settings.parameters, name
        if default is not None:
            assert settings[name] == default, name
        assert settings.parameters[name].help, name


def test_help_lists_every_documented_setting_with_default_and_meaning(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(CLASSES, ["--help"], "", MISPRINTS, is_unobeyed)
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for name in DOCUMENTED:
        assert re.search(rf"--{name}\b", text), name


def test_the_documents_misprint_and_what_nothing_obeys_are_refused():
    with pytest.raises(SettingsError, match="max_seq_le.*write max_seq_len"):
        settings_from("--max_seq_le", "4096")
    with pytest.raises(SettingsError, match="it has no effect here"):
        settings_from("--dataloader_num_workers", "2")
    with pytest.raises(SettingsError, match="not abbreviated"):
        settings_from("--max_seq", "4096")


def test_on_a_cpu_the_defaults_of_precision_device_and_sharding_give_way_with_a_reason():
    settings = resolved()
    assert (settings["bf16"], settings["device"], settings["sharding"]) == (False, "cpu", "")
    for name in ("bf16", "device", "sharding"):
        assert any(line.startswith(f"{name}:") for line in settings.changes)
        assert f"{name}: " in render(settings)


def test_what_the_user_wrote_is_refused_instead_of_changed():
    assert "no bfloat16 matrix kernel" in refusal("--bf16", "true")
    assert "as many processes" in refusal("--tensor_parallel_degree", "2")
    assert "as many processes" in refusal("--sharding_parallel_degree", "2")
    assert "pipeline" in refusal("--virtual_pp_degree", "2")
    assert "use_flash_attention true" in refusal("--flash_mask", "true")
    assert "zero_padding" in refusal("--greedy_zero_padding", "true", "--zero_padding", "false")
    assert "max_steps" in refusal("--lazy", "true", "--max_steps", "-1")
    for tokens in ("+", "+,+", "+,", "a,b,c"):
        assert "two different tokens" in refusal("--reward_tokens", tokens)
    message = refusal("--learning_rate", "0", "--logging_steps", "0", "--max_steps", "-3")
    assert all(name in message for name in ("learning_rate", "logging_steps", "max_steps"))


def test_on_gpus_precision_and_layout_are_obeyed():
    settings = resolved("--tensor_parallel_degree", "4", "--sharding", "stage2", ranks=8, has_cuda=True)
    assert settings["bf16"] and settings["device"] == "gpu" and settings["sharding"] == "stage2"
    assert run_of(ranks=8, has_cuda=True).weight_dtype == "bfloat16"
    assert run_of("--fp16_opt_level", "O1", has_cuda=True).weight_dtype == "float32"


def test_sharding_stays_where_there_are_ranks_to_share():
    assert resolved(ranks=2)["sharding"] == "stage1"


def test_epochs_count_where_max_steps_is_not_written():
    settings = resolved("--num_train_epochs", "3")
    assert settings["max_steps"] == -1
    assert steps_of(run_of("--num_train_epochs", "3"), rows=17) == (9, 3)
    both = run_of("--num_train_epochs", "3", "--max_steps", "7", "--per_device_train_batch_size", "4", ranks=2)
    assert steps_of(both, rows=17) == (7, 1)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--eval_steps", "30", "--save_steps", "100"], "not a multiple"),
        (["--evaluation_strategy", "epoch"], "differ"),
        (["--save_strategy", "no"], "no checkpoint"),
        (["--do_eval", "false"], "no checkpoint"),
    ],
)
def test_load_best_gives_way_by_default_and_is_refused_when_written(flags, why):
    settings = resolved(*flags)
    assert settings["load_best_model_at_end"] is False
    assert why in "".join(settings.changes)
    if flags[0] != "--evaluation_strategy":  # there save_strategy gives way instead
        assert why in refusal(*flags, "--load_best_model_at_end", "true")
    else:
        assert resolved(*flags, "--load_best_model_at_end", "true")["save_strategy"] == "epoch"


def test_a_run_too_short_for_any_checkpoint_says_so_before_training():
    settings = resolved()  # the documented defaults: 100 updates, a checkpoint every 500
    reward_checks.fit_to_steps(settings, 100, None)
    assert settings["load_best_model_at_end"] is False
    assert "none to choose from" in "".join(settings.changes)
    written = resolved("--load_best_model_at_end", "true")
    with pytest.raises(SettingsError, match="none to choose from"):
        reward_checks.fit_to_steps(written, 100, None)


def test_the_best_metric_is_one_of_the_evaluation_and_less_calibration_error_is_better():
    assert "error_f1" in refusal("--metric_for_best_model", "nonsense")
    for metric, greater in (("ece", False), ("loss", False), ("auc", True)):
        assert run_of("--metric_for_best_model", metric).more_is_better is greater


def test_lengths_fit_the_model():
    settings = resolved()
    reward_checks.fit_to_model(settings, replace(LLAMA, max_position_embeddings=1024))
    assert (settings["max_seq_len"], settings["max_prompt_len"]) == (1024, 512)
    with pytest.raises(SettingsError, match="1024 tokens at most"):
        reward_checks.fit_to_model(resolved("--max_seq_len", "2048"), replace(LLAMA, max_position_embeddings=1024))


def test_the_window_of_prefix_sharing_is_all_of_the_data_unless_it_is_streamed():
    assert resolved()["prefix_sharing"] is True and resolved()["prefix_sharing_window"] is None
    streamed = resolved("--lazy", "true", "--max_steps", "1")
    assert streamed["prefix_sharing_window"] == 4096 and "prefix_sharing_window" in "".join(streamed.changes)
    assert resolved("--prefix_sharing_window", "7")["prefix_sharing_window"] == 7
    assert "prefix_sharing is false" in refusal("--prefix_sharing", "false", "--prefix_sharing_window", "7")
    assert "from 1 to" in refusal("--prefix_sharing_window", "0")
    assert "prefix_sharing_window" not in "".join(
        resolved("--lazy", "true", "--prefix_sharing", "false", "--max_steps", "1").changes
    )


def test_attention_is_chosen_by_device_and_both_settings(monkeypatch):
    monkeypatch.setattr(attention.paddle, "is_compiled_with_cuda", lambda: True)
    assert attention.choose(True, True)[0] is attention.flashmask_attention
    assert attention.choose(True, False)[0] is attention.dense_attention
    monkeypatch.setattr(attention.paddle, "is_compiled_with_cuda", lambda: False)
    assert attention.choose(True, True)[0] in (attention.kernel_attention, attention.block_attention)


# ---- effects that a run shows


@pytest.mark.runs
def test_schedule_and_strategies_are_obeyed(settings_of, tmp_path):
    """120 rows in updates of 24: 5 updates an epoch."""
    run_reward.main(
        settings_of(
            num_train_epochs=2,
            max_steps=...,
            zero_padding=False,
            prefix_sharing=False,
            per_device_train_batch_size=12,
            learning_rate=0.5,
            warmup_steps=4,
            lr_scheduler_type="constant_with_warmup",
            logging_steps=2,
            evaluation_strategy="epoch",
            save_strategy="epoch",
            eval_steps=...,
            save_steps=...,
        )
    )
    history = logs(tmp_path / "out")
    training = [log for log in history if "loss" in log]
    assert [log["step"] for log in training] == [2, 4, 6, 8, 10]
    assert [log["learning_rate"] for log in training] == pytest.approx([0.125, 0.375, 0.5, 0.5, 0.5])
    assert [log["step"] for log in history if "eval_loss" in log] == [5, 10]
    assert {path.name for path in (tmp_path / "out").glob("checkpoint-*")} == {"checkpoint-5", "checkpoint-10"}


@pytest.mark.runs
def test_without_evaluation_and_saving_there_is_neither(settings_of, tmp_path):
    results = run_reward.main(settings_of(do_eval=False, save_strategy="no", max_steps=2))
    assert not any(name.startswith("eval") for name in results)
    assert not list((tmp_path / "out").glob("checkpoint-*")) and not (tmp_path / "out/eval_results.json").exists()


@pytest.mark.runs
def test_evaluation_no_means_at_the_end_only(settings_of, tmp_path):
    run_reward.main(settings_of(evaluation_strategy="no", max_steps=4))
    assert [log["step"] for log in logs(tmp_path / "out") if "eval_loss" in log] == [4]


@pytest.mark.runs
@pytest.mark.parametrize("mode", ["benchmark", "autotuner_benchmark"])
def test_benchmarks_train_only_and_leave_no_model(settings_of, tmp_path, capsys, mode):
    changes = dict.fromkeys(("eval_steps", "save_steps"), ...) | ({"max_steps": ...} if mode != "benchmark" else {})
    results = run_reward.main(settings_of(**{mode: True}, **changes))
    assert results["train_steps"] == (6 if mode == "benchmark" else 5)
    assert results["train_tokens_per_second"] > 0
    assert not list((tmp_path / "out").glob("*.safetensors")) and not list((tmp_path / "out").glob("checkpoint-*"))


@pytest.mark.runs
def test_outcome_reward_scores_once_per_answer(settings_of, capsys):
    results = run_reward.main(settings_of(process_reward=False, max_steps=2))
    assert results["eval_answers"] == 24 and "eval_steps" not in results


@pytest.mark.runs
def test_a_plain_checkpoint_is_written_without_unified_checkpoint_and_resumed(settings_of, tmp_path):
    run_reward.main(settings_of(unified_checkpoint=False, max_steps=3, load_best_model_at_end=False))
    assert (tmp_path / "out/checkpoint-3/model_state.pdparams").exists()
    assert (tmp_path / "out/model_state.pdparams").exists()


@pytest.mark.runs
@pytest.mark.parametrize("granularity", ["full", "full_attn", "core_attn"])
def test_recomputing_changes_time_and_memory_only(settings_of, tmp_path, monkeypatch, granularity):
    calls = []
    attend, _ = attention.choose(False, False)
    monkeypatch.setattr(attention, "choose", lambda *flags: (lambda *inputs: calls.append(1) or attend(*inputs), ""))
    losses = []
    for recompute in (False, True):
        calls.clear()
        out = tmp_path / str(recompute)
        run_reward.main(
            settings_of(
                output_dir=out,
                recompute=recompute,
                recompute_granularity=granularity,
                max_steps=2,
                do_eval=False,
                gradient_accumulation_steps=1,
            )
        )
        losses.append([log["loss"] for log in logs(out)])
        assert len(calls) == 2 * 2 * (2 if recompute else 1)  # layers x updates, again in the backward pass
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.runs
def test_long_solutions_and_prompts_are_cut_and_counted(settings_of, capsys):
    run_reward.main(settings_of(max_seq_len=120, max_prompt_len=60, max_steps=1))
    shown = capsys.readouterr().out
    assert re.search(r"[1-9]\d* prompts cut from the left to max_prompt_len", shown)
    assert re.search(r"[1-9]\d* solutions lost [1-9]\d* steps from the end to max_seq_len", shown)


@pytest.mark.runs
def test_the_tokenizer_may_stand_elsewhere(settings_of, tiny, tmp_path, capsys):
    import shutil

    model, tokenizer = tmp_path / "model", tmp_path / "tokenizer"
    shutil.copytree(tiny / "model", model)
    tokenizer.mkdir()
    for file in model.iterdir():
        if "token" in file.name or file.name.endswith(".model"):
            shutil.move(file, tokenizer / file.name)
    with pytest.raises(SystemExit):
        run_reward.main(settings_of(model_name_or_path=model, max_steps=1))
    assert "tokenizer" in capsys.readouterr().err
    run_reward.main(settings_of(model_name_or_path=model, tokenizer_name_or_path=tokenizer, max_steps=1))


def test_placeholder_and_reward_tokens_are_those_that_were_written(settings_of, capsys):
    with pytest.raises(SystemExit):
        run_reward.main(settings_of(placeholder_token="Zwölf", reward_tokens="yes,no"))
    message = capsys.readouterr().err
    assert "'yes'" in message or "labels" in message or "placeholder_token" in message
