"""What happens where settings of run_reward.py cannot hold.

A default that cannot hold on this machine or beside the user's other settings gives way with one printed line. What
the user wrote is obeyed or refused, never changed.
"""

from __future__ import annotations

from pathlib import Path

from llm.alignment.rm.flashmask.data import RowCounts
from llm.alignment.rm.flashmask.reward_argument import (
    IDENTITY,
    DataArgument,
    ModelArgument,
    TrainingArguments,
    split_reward_tokens,
)
from llm.core.model import lora
from llm.core.parallel import layout
from llm.core.records.fields import LARGEST
from llm.core.records.records import LABELLED, LEAST_WEIGHT, PREFERENCES
from llm.core.rows.label_weights import balancing_weight
from llm.core.rows.packing import STREAM_WINDOW
from llm.core.settings.settings import Settings

# metric_for_best_model is one of these, by what is trained
JUDGED = "accuracy balanced_accuracy accuracy_positive accuracy_negative error_precision error_recall error_f1 auc ece"
STEP_METRICS = f"loss {JUDGED} first_error_accuracy".split()
OUTCOME_METRICS = f"loss {JUDGED} precision recall f1".split()
PREFERENCE_METRICS = "loss accuracy margin_mean".split()
PAIR_SETTINGS = ("reward_margin", "reward_centering")
LESS_IS_BETTER = ("loss", "ece")
REPORTS = (["visualdl"], ["none"], "visualdl", "none", None)


def resolve(settings: Settings, ranks: int, has_cuda: bool) -> None:
    """Let defaults give way and note everything that cannot be, before anything expensive is done."""
    _resolve_purpose(settings)
    _resolve_schedule(settings)
    _resolve_precision(settings, has_cuda)
    layout.resolve(settings, ranks, has_cuda)
    _resolve_data(settings)
    _resolve_reward(settings)
    _resolve_lora(settings)
    _check_ranges(settings)
    settings.check()


def _resolve_purpose(settings: Settings) -> None:
    for name in ("benchmark", "autotuner_benchmark"):
        if settings[name]:
            why = f"{name} measures the speed of training alone"
            for setting, value in (
                ("do_train", True),
                ("do_eval", False),
                ("evaluation_strategy", "no"),
                ("save_strategy", "no"),
                ("load_best_model_at_end", False),
            ):
                settings.give_way(setting, value, why)
    if settings["autotuner_benchmark"]:
        settings.give_way("max_steps", 5, "autotuner_benchmark measures 5 updates")
    if not settings["dev_dataset_path"]:
        settings.give_way("do_eval", False, "dev_dataset_path is not given, so there is nothing to evaluate on")
    if settings["do_train"] and not settings["train_dataset_path"]:
        settings.refuse("train_dataset_path", "do_train is true; give the training data, or write do_train false")
    if not settings["do_train"] and not settings["do_eval"]:
        settings.refuse("do_train", "with do_eval false there is nothing to do; set one of them to true")
    if not settings["do_eval"]:
        settings.give_way("evaluation_strategy", "no", "do_eval is false")


def _resolve_schedule(settings: Settings) -> None:
    if settings.origin["num_train_epochs"] != "default" and settings.origin["max_steps"] == "default":
        settings.give_way("max_steps", -1, "num_train_epochs is written")
    if settings["lazy"] and settings["max_steps"] <= 0:
        settings.refuse("max_steps", "lazy streams data of unknown length; write how many updates to run")
    if not settings["do_train"]:
        settings.give_way("load_best_model_at_end", False, "do_train is false")
    _check_best_metric(settings, list(dict.fromkeys(STEP_METRICS + OUTCOME_METRICS + PREFERENCE_METRICS)))
    if not settings["load_best_model_at_end"]:
        return
    evaluate, save = settings["evaluation_strategy"], settings["save_strategy"]
    if settings.origin["load_best_model_at_end"] != "default" and evaluate != "no":
        settings.give_way("save_strategy", evaluate, "load_best_model_at_end needs a checkpoint per evaluation")
        save = settings["save_strategy"]
    if "no" in (evaluate, save):
        why = f"evaluation_strategy is {evaluate!r} and save_strategy {save!r}, so no checkpoint has an evaluation"
        settings.give_way("load_best_model_at_end", False, why)
    elif evaluate != save:
        why = f"evaluation_strategy {evaluate!r} and save_strategy {save!r} differ"
        settings.give_way("load_best_model_at_end", False, why)
    elif evaluate == "steps" and settings["eval_steps"] > 0 and settings["save_steps"] % settings["eval_steps"]:
        why = f"save_steps {settings['save_steps']} is no multiple of eval_steps {settings['eval_steps']}"
        settings.give_way("load_best_model_at_end", False, why)


def best_metric(settings: Settings) -> str:
    return (settings["metric_for_best_model"] or "loss").removeprefix("eval_")


def _check_best_metric(settings: Settings, metrics: list[str]) -> None:
    if best_metric(settings) not in metrics:
        settings.refuse("metric_for_best_model", f"is no metric of this evaluation; write one of {', '.join(metrics)}")


def fit_to_form(settings: Settings, form: str) -> None:
    """What can only be judged once the form of the data is known."""
    if settings["load_best_model_at_end"]:
        of_answers = PREFERENCE_METRICS if form == PREFERENCES else OUTCOME_METRICS
        _check_best_metric(settings, STEP_METRICS if settings["process_reward"] else of_answers)
    if settings["process_reward"]:
        settings.check()
        return
    of_labels, of_pairs = ("prm_loss", "label_smoothing", "positive_weight", "balance_labels"), PAIR_SETTINGS
    for name in of_labels if form == PREFERENCES else of_pairs:
        if settings[name] != settings.parameters[name].default:
            other = LABELLED if form == PREFERENCES else PREFERENCES
            settings.refuse(name, f"the data holds {form}s, and this concerns {other}s; leave it out")
    settings.check()


def positive_weight(settings: Settings, counted: RowCounts) -> float:
    if settings["balance_labels"]:
        return balancing_weight(counted.positive_weight, counted.label_weight, settings["label_smoothing"])
    return settings["positive_weight"]


def fit_to_model(settings: Settings, longest_solution: int, model_type: str | None = None) -> None:
    """What can only be judged beside the model's configuration."""
    if model_type == "mistral" and settings["recompute"]:
        settings.give_way("recompute_granularity", "full", "PaddleNLP's Mistral recomputes whole layers or nothing")
    if settings["max_seq_len"] > longest_solution:
        settings.give_way("max_seq_len", longest_solution, f"this model attends over {longest_solution} tokens at most")
    if settings["max_prompt_len"] >= settings["max_seq_len"]:
        why = f"a prompt as long as max_seq_len {settings['max_seq_len']} leaves no room for a step"
        settings.give_way("max_prompt_len", settings["max_seq_len"] // 2, why)
    settings.check()


def steps_of_run(settings: Settings, rows: list | None, data_ranks: int) -> tuple[int, int | None]:
    """(updates that will run, updates in a pass over the data or None for a stream)"""
    if rows is None or settings["lazy"]:
        return max(settings["max_steps"], 0), None
    per_pass = -(-len(rows) // rows_of_update(settings, data_ranks))
    steps = settings["max_steps"] if settings["max_steps"] > 0 else int(per_pass * settings["num_train_epochs"])
    return steps, per_pass


def fit_to_steps(settings: Settings, steps: int, steps_per_pass: int | None) -> None:
    """What can only be judged once the data is packed."""
    interval = {"steps": settings["save_steps"], "epoch": steps_per_pass}.get(settings["save_strategy"])
    if settings["load_best_model_at_end"] and interval and steps < interval:
        why = f"the run has {steps} updates and a checkpoint is saved every {interval}, so there is none to choose from"
        settings.give_way("load_best_model_at_end", False, why)
    if settings["do_train"] and steps < 1:
        settings.refuse("num_train_epochs", "is less than one update of this data; write a larger one")
    settings.check()


def _resolve_precision(settings: Settings, has_cuda: bool) -> None:
    if has_cuda:
        return
    settings.give_way("device", "cpu", "this PaddlePaddle is a CPU build")
    settings.give_way("bf16", False, "a CPU has no bfloat16 matrix kernel; float32 is used, without fp16_opt_level")


def _resolve_data(settings: Settings) -> None:
    if settings["greedy_zero_padding"] and not settings["zero_padding"]:
        settings.refuse("greedy_zero_padding", "zero_padding is false; write zero_padding true, or this false")
    if settings["flash_mask"] and not settings["use_flash_attention"]:
        settings.refuse("flash_mask", "FlashMask is a form of flash attention; write use_flash_attention true, too")
    if settings["prefix_sharing_window"] is None and settings["lazy"] and settings["prefix_sharing"]:
        settings.give_way("prefix_sharing_window", STREAM_WINDOW, "lazy reads a part of the data at a time")
    elif settings["prefix_sharing_window"] is not None and not settings["prefix_sharing"]:
        settings.refuse("prefix_sharing_window", "prefix_sharing is false; write prefix_sharing true, or leave it out")
    elif settings["prefix_sharing_window"] is not None and settings["prefix_sharing_window"] < 1:
        settings.refuse("prefix_sharing_window", "must be 1 or more")
    tokens = split_reward_tokens(settings["reward_tokens"])
    if len(tokens) != 2 or not all(tokens) or tokens[0] == tokens[1]:
        settings.refuse("reward_tokens", 'needs two different tokens separated by one comma, such as "+,-"')
    if settings["report_to"] not in REPORTS:
        settings.refuse("report_to", "only visualdl and none are supported")
    if not settings["placeholder_token"].strip():
        settings.refuse("placeholder_token", "is blank; write the token that ends a step, such as ки")


def _resolve_reward(settings: Settings) -> None:
    if settings["process_reward"]:
        for name in PAIR_SETTINGS:
            if settings[name]:
                settings.refuse(name, "concerns preferences; write process_reward false, or leave it out")
    elif settings["score_last_step_only"]:
        settings.refuse("score_last_step_only", "with process_reward false there is one score per answer; leave it out")
    if settings["balance_labels"] and settings.origin["positive_weight"] != "default":
        settings.refuse("positive_weight", "balance_labels chooses it from the data; leave one of them out")
    if settings["prm_loss"] == "vocabulary" and settings["tensor_parallel_degree"] > 1:
        settings.refuse("prm_loss", "the whole vocabulary is on no single rank; write tensor_parallel_degree 1")
    for name, least in {"positive_weight": LEAST_WEIGHT, **dict.fromkeys(PAIR_SETTINGS, 0)}.items():
        if not least <= settings[name] <= LARGEST:
            settings.refuse(name, f"must be from {least:g} to {LARGEST:g}")
    if not 0 <= settings["label_smoothing"] < 1:
        settings.refuse("label_smoothing", "must be from 0 to below 1, where every label would be 0.5")


def _resolve_lora(settings: Settings) -> None:
    lora.check_settings(settings)
    if settings["lora"] and settings["prm_loss"] == "vocabulary":
        settings.refuse("prm_loss", "with lora only two rows of the head train; write reward_tokens, or lora false")


def _check_ranges(settings: Settings) -> None:
    at_least_one = (
        "per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps logging_steps eval_steps "
        "save_steps max_prompt_len"
    ).split()
    for name in at_least_one:
        if settings[name] < 1:
            settings.refuse(name, "must be 1 or more")
    if settings["max_seq_len"] < 4:
        settings.refuse("max_seq_len", "must be 4 or more: a start, a prompt, a step and its placeholder")
    if settings["max_steps"] < 1 and settings["max_steps"] != -1:
        settings.refuse("max_steps", "must be 1 or more, or -1 to count epochs")
    for name in ("learning_rate", "num_train_epochs"):
        if settings[name] <= 0:
            settings.refuse(name, "must be above 0")
    for name in ("warmup_steps", "weight_decay", "max_grad_norm"):
        if settings[name] < 0:
            settings.refuse(name, "must not be negative")


def identity(
    settings: Settings, model_path: str, base_weights: str | None, data_fingerprint: str | None, ranks: int
) -> dict:
    """`base_weights` are those that a checkpoint needs beside it: those under adapters."""
    same = {name: settings[name] for name in IDENTITY}
    same |= {"model_name_or_path": model_path, "base_weights": base_weights, "data": data_fingerprint}
    same["rows of an update"] = rows_of_update(settings, layout.data_ranks(settings, ranks))
    return {**same, "layout": layout.of_checkpoints(settings, ranks)}


def rows_of_update(settings: Settings, data_ranks: int) -> int:
    return settings["per_device_train_batch_size"] * settings["gradient_accumulation_steps"] * data_ranks


def without_effect(settings: Settings, ranks: int) -> list[str]:
    """Lines about what this run does not do although one might expect it."""
    lines = []
    if layout.data_ranks(settings, ranks) == 1 and settings["sharding"]:
        lines.append(f"sharding {settings['sharding']}: one process has rows of its own, so that nothing is divided")
    elif settings["sharding"] and settings["sharding_parallel_degree"] == 1:
        lines.append(f"sharding {settings['sharding']}: sharding_parallel_degree is 1, so that nothing is divided")
    if settings.origin["fp16_opt_level"] != "default" and not settings["bf16"]:
        lines.append(f"fp16_opt_level {settings['fp16_opt_level']}: training is in float32, so it changes nothing")
    return lines


def build(settings: Settings) -> tuple[TrainingArguments, DataArgument, ModelArgument]:
    instances = settings.build()
    training_args = instances[0]
    # so that curves of a resumed run stand beside those before it
    training_args.output_dir = str(Path(training_args.output_dir).expanduser().absolute())
    if settings["greater_is_better"] is None:
        training_args.greater_is_better = best_metric(settings) not in LESS_IS_BETTER
    if settings["logging_dir"] is None:
        training_args.logging_dir = str(Path(training_args.output_dir) / "runs")
    return instances
