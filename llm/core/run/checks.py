"""What happens where settings that every training has cannot hold.

A default that cannot hold on this machine or with the user's other settings is changed, with a line that says why.
What the user wrote is obeyed or refused, never changed. No paddle here.
"""

from __future__ import annotations

from collections.abc import Iterable

from llm.core.model.adapters import lora_settings
from llm.core.model.sizes import Sizes
from llm.core.parallel import layout
from llm.core.rows.packing import STREAM_WINDOW
from llm.core.settings.reports import problem_of_reports
from llm.core.settings.settings import Settings

BUDGET = "per_device_train_batch_max_tokens"
LESS_IS_BETTER = ("loss", "perplexity", "ece")


def note_problems(settings: Settings, ranks: int, has_cuda: bool, metrics: Iterable[str]) -> None:
    """Change defaults that cannot hold, and note every problem. `metrics` are what metric_for_best_model may name."""
    _resolve_purpose(settings)
    _resolve_schedule(settings, metrics)
    _resolve_precision(settings, has_cuda)
    layout.resolve(settings, ranks, has_cuda)
    _resolve_data(settings)
    lora_settings.check_settings(settings)
    _check_optimizer(settings, ranks)


def writes_model(settings: Settings) -> bool:
    return settings["do_train"] and not (settings["benchmark"] or settings["autotuner_benchmark"])


def _resolve_purpose(settings: Settings) -> None:
    for name in ("benchmark", "autotuner_benchmark"):
        if settings[name]:
            why = f"{name} measures only the speed of training"
            for setting, value in (
                ("do_train", True),
                ("do_eval", False),
                ("evaluation_strategy", "no"),
                ("save_strategy", "no"),
                ("load_best_model_at_end", False),
                ("test_dataset_dir", None),
            ):
                settings.change_default(setting, value, why)
    if settings["autotuner_benchmark"]:
        settings.change_default("max_steps", 5, "autotuner_benchmark measures 5 updates")
    if not settings["dev_dataset_path"]:
        settings.change_default("do_eval", False, "dev_dataset_path is not given, so there is nothing to evaluate on")
    if settings["do_train"] and not settings["train_dataset_path"]:
        settings.refuse("train_dataset_path", "do_train is true; give the training data, or write do_train false")
    if not settings["do_train"] and settings["resume_from_checkpoint"]:
        why = "do_train is false; to evaluate a checkpoint, give its folder as model_name_or_path"
        settings.refuse("resume_from_checkpoint", why)
    if settings["test_files"] and not settings["test_dataset_dir"]:
        settings.refuse("test_files", "are names of files in test_dataset_dir; give that folder, too")
    if not settings["do_train"] and not settings["do_eval"] and not settings["test_dataset_dir"]:
        settings.refuse("do_train", "with do_eval false there is nothing to do; set one of them to true")
    if not settings["do_eval"]:
        settings.change_default("evaluation_strategy", "no", "do_eval is false")


def _resolve_schedule(settings: Settings, metrics: Iterable[str]) -> None:
    if settings.is_written("num_train_epochs") and not settings.is_written("max_steps"):
        settings.change_default("max_steps", -1, "num_train_epochs is written")
    if settings["lazy"] and settings["max_steps"] <= 0:
        settings.refuse("max_steps", "lazy streams data of unknown length; write how many updates to run")
    if not settings["do_train"]:
        settings.change_default("load_best_model_at_end", False, "do_train is false")
    check_best_metric(settings, metrics)
    if not settings["load_best_model_at_end"]:
        return
    evaluate, save = settings["evaluation_strategy"], settings["save_strategy"]
    if settings.is_written("load_best_model_at_end") and evaluate != "no":
        settings.change_default("save_strategy", evaluate, "load_best_model_at_end needs a checkpoint per evaluation")
        save = settings["save_strategy"]
    if "no" in (evaluate, save):
        why = f"evaluation_strategy is {evaluate!r} and save_strategy {save!r}, so no checkpoint has an evaluation"
        settings.change_default("load_best_model_at_end", False, why)
    elif evaluate != save:
        why = f"evaluation_strategy {evaluate!r} and save_strategy {save!r} differ"
        settings.change_default("load_best_model_at_end", False, why)
    elif evaluate == "steps" and settings["eval_steps"] > 0 and settings["save_steps"] % settings["eval_steps"]:
        why = f"save_steps {settings['save_steps']} is not a multiple of eval_steps {settings['eval_steps']}"
        settings.change_default("load_best_model_at_end", False, why)


def best_metric(metric_for_best_model: str | None) -> str:
    return (metric_for_best_model or "loss").removeprefix("eval_")


def check_best_metric(settings: Settings, metrics: Iterable[str]) -> None:
    if best_metric(settings["metric_for_best_model"]) not in metrics:
        shown = ", ".join(metrics)
        settings.refuse("metric_for_best_model", f"is not a metric of this evaluation; write one of {shown}")


def fit_to_model(settings: Settings, sizes: Sizes) -> None:
    """What can only be judged with the model's configuration."""
    layout.fit_to_model(settings, sizes)
    longest = sizes.longest_solution
    if longest < 4:
        raise ValueError(f"model_name_or_path: the model attends over {longest} tokens, too few for a solution")
    if settings["max_seq_len"] > longest:
        settings.change_default("max_seq_len", longest, f"this model attends over {longest} tokens at most")
    fit_lengths(settings)
    settings.check()


def fit_lengths(settings: Settings) -> None:
    if settings["max_prompt_len"] >= settings["max_seq_len"]:
        why = f"a prompt as long as max_seq_len {settings['max_seq_len']} leaves no room for a step"
        settings.change_default("max_prompt_len", settings["max_seq_len"] // 2, why)
    if settings[BUDGET] is not None:
        _fit_token_budget(settings)


def _fit_token_budget(settings: Settings) -> None:
    name, budget, length = BUDGET, settings[BUDGET], settings["max_seq_len"]
    if not settings["zero_padding"]:
        settings.refuse(name, "a budget counts packed tokens, and zero_padding is false; write zero_padding true")
    elif budget < length:
        settings.refuse(
            name, f"a row of max_seq_len {length} does not fit; write {length} or more, or a smaller length"
        )
    else:
        why = f"so many rows of max_seq_len {length} fit into {name} {budget}"
        settings.change_default("per_device_train_batch_size", budget // length, why)


def fit_to_steps(settings: Settings, steps: int, steps_per_pass: int | None) -> None:
    """What can only be judged once the data is packed."""
    interval = {"steps": settings["save_steps"], "epoch": steps_per_pass}.get(settings["save_strategy"])
    if settings["load_best_model_at_end"] and interval and steps < interval:
        why = f"the run has {steps} updates and a checkpoint is saved every {interval}, so there is none to choose from"
        settings.change_default("load_best_model_at_end", False, why)
    if settings["do_train"] and steps < 1:
        settings.refuse("num_train_epochs", "is less than one update of this data; write a larger one")
    settings.check()


def _resolve_precision(settings: Settings, has_cuda: bool) -> None:
    if has_cuda:
        return
    settings.change_default("device", "cpu", "this PaddlePaddle is a CPU build")
    if not (settings.is_written("bf16") and settings["bf16"]):
        settings.change_default("bf16", False, "on a CPU training is in float32, unless you write bf16 true")
        return
    if not settings["lora"]:
        why = "on a CPU weights that train are in float32, and with O1 their products are in bfloat16"
        settings.change_default("fp16_opt_level", "O1", why)
    divided = [name for name in (layout.TENSOR, layout.PIPELINE) if layout.degree(settings, name) > 1]
    if settings["fp16_opt_level"] == "O1" and "stage3" in settings["sharding"]:
        divided.append("sharding stage3")
    if divided:
        why = f"on a CPU it is about weights that are whole on every rank, and {divided[0]} divides them"
        settings.refuse("bf16", f"{why}. Write false or leave it out")


def _resolve_data(settings: Settings) -> None:
    if settings["greedy_zero_padding"] and not settings["zero_padding"]:
        settings.refuse("greedy_zero_padding", "zero_padding is false; write zero_padding true, or false here")
    if settings["flash_mask"] and not settings["use_flash_attention"]:
        settings.refuse("flash_mask", "FlashMask is a form of flash attention; write use_flash_attention true, too")
    if settings["prefix_sharing_window"] is None and settings["lazy"] and settings["prefix_sharing"]:
        settings.change_default("prefix_sharing_window", STREAM_WINDOW, "lazy reads a part of the data at a time")
    elif settings["prefix_sharing_window"] is not None and not settings["prefix_sharing"]:
        settings.refuse("prefix_sharing_window", "prefix_sharing is false; write prefix_sharing true, or leave it out")
    if settings["cache_dir"] and settings["lazy"]:
        settings.refuse(
            "lazy", "rows of cache_dir are not held in memory, so nothing needs to be streamed; leave one out"
        )
    if why := problem_of_reports(settings["report_to"] or ()):
        settings.refuse("report_to", why)


def _check_optimizer(settings: Settings, ranks: int) -> None:
    """What numbers that are in their ranges cannot be together."""
    rate, decay = settings["learning_rate"], settings["weight_decay"]
    if rate * decay >= 1:
        why = f"times learning_rate {rate} it is {rate * decay:.4g}; at 1 an update removes the whole of a weight"
        settings.refuse("weight_decay", f"{why}. Write less than {1 / rate:.4g}, or lower learning_rate")
    if settings["lr_scheduler_type"] == "polynomial" and settings["lr_end"] >= rate:
        settings.refuse("lr_end", f"the schedule falls from learning_rate {rate} to it; write less than that")
    data_ranks = layout.layout_of(settings, ranks).data_ranks
    if settings["seed"] + data_ranks > 2**32:
        settings.refuse("seed", f"the last of {data_ranks} ranks has a seed of {data_ranks - 1} more; write less")
