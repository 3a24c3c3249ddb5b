"""Every documented setting: its default, and when it is changed or refused."""

import re
from dataclasses import replace

import pytest

from llm.alignment.rm.flashmask.reward_argument import CLASSES
from llm.core.model import attention
from llm.core.run import checks
from llm.core.run.arguments import MISPRINTS, is_unobeyed
from llm.core.settings.display import render
from llm.core.settings.parse import parse
from llm.core.settings.settings import SettingsError
from tests.alignment.rm.reward_settings import LLAMA, refusal, resolved, run_of, settings_from, steps_of

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


def test_on_a_cpu_bf16_is_about_products():
    settings = resolved("--bf16", "true")
    assert (settings["bf16"], settings["fp16_opt_level"]) == (True, "O1")
    assert any(line.startswith("fp16_opt_level:") for line in settings.changes)
    with_adapters = resolved("--bf16", "true", "--lora", "true")
    assert (with_adapters["bf16"], with_adapters["fp16_opt_level"]) == (True, "O2")


def test_what_the_user_wrote_is_refused_instead_of_changed():
    assert "weights that train are in float32" in refusal("--bf16", "true", "--fp16_opt_level", "O2")
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
    if flags[0] != "--evaluation_strategy":  # there the default of save_strategy is changed instead
        assert why in refusal(*flags, "--load_best_model_at_end", "true")
    else:
        assert resolved(*flags, "--load_best_model_at_end", "true")["save_strategy"] == "epoch"


def test_a_run_too_short_for_any_checkpoint_says_so_before_training():
    settings = resolved()  # the documented defaults: 100 updates, a checkpoint every 500
    checks.fit_to_steps(settings, 100, None)
    assert settings["load_best_model_at_end"] is False
    assert "none to choose from" in "".join(settings.changes)
    written = resolved("--load_best_model_at_end", "true")
    with pytest.raises(SettingsError, match="none to choose from"):
        checks.fit_to_steps(written, 100, None)


def test_the_best_metric_is_one_of_the_evaluation_and_less_calibration_error_is_better():
    assert "error_f1" in refusal("--metric_for_best_model", "nonsense")
    for metric, greater in (("ece", False), ("loss", False), ("auc", True)):
        assert run_of("--metric_for_best_model", metric).more_is_better is greater


def test_lengths_fit_the_model():
    settings = resolved()
    checks.fit_to_model(settings, replace(LLAMA, max_position_embeddings=1024))
    assert (settings["max_seq_len"], settings["max_prompt_len"]) == (1024, 512)
    with pytest.raises(SettingsError, match="1024 tokens at most"):
        checks.fit_to_model(resolved("--max_seq_len", "2048"), replace(LLAMA, max_position_embeddings=1024))


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
