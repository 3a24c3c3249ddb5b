"""Settings whose effect a run shows."""

import re

import pytest

from llm.alignment.rm.flashmask import run_reward
from tests.alignment.rm.reward_settings import logs


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
