"""The settings that every training has: names, defaults and meanings. A task's own classes add to these three, which
carry the names that users of PaddleNLP know. checks.py says where they cannot hold.

No paddle here: `--help` and a refusal answer at once. PaddleNLP's own TrainingArguments are made from these when a run
starts (llm/core/train/library_arguments.py).
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm.core.model.families import GRANULARITIES
from llm.core.records.fields import LARGEST
from llm.core.rows.packing import STREAM_WINDOW
from llm.core.settings.ranges import Range
from llm.core.settings.reports import REPORTS

MISPRINTS = {"max_seq_le": "max_seq_len", "eval_strategy": "evaluation_strategy", "lr": "learning_rate"}
STRATEGIES = ["no", "steps", "epoch"]
SCHEDULES = ["linear", "cosine", "constant", "constant_with_warmup", "polynomial"]

COUNTED = 2**31 - 1  # as Paddle counts
COUNT, COUNT_OR_NONE = Range(1, COUNTED), Range(0, COUNTED)
COUNT_OR_MINUS_ONE = Range(1, COUNTED, also=-1)
WIDEST = 2**16  # no layer that gets adapters is as wide
BETA = Range(0, 0.999999, why="in float32 a larger one may be 1")
SMALL = 1e-30  # what is much smaller is 0 in float32


def setting(default: Any, meaning: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": meaning, **metadata})


@dataclass(frozen=True)
class TrainingArguments:
    output_dir: str = setting("./checkpoints/dpo_ckpts", "Folder for the model, checkpoints, log and results.")
    per_device_train_batch_max_tokens: int | None = setting(
        None,
        "In place of per_device_train_batch_size: tokens of a micro-batch, as many rows of max_seq_len as fit.",
        range=COUNT,
    )
    per_device_train_batch_size: int = setting(1, "Rows per process in one micro-batch of training.", range=COUNT)
    gradient_accumulation_steps: int = setting(8, "Micro-batches in one update.", range=Range(1, 1_000_000))
    per_device_eval_batch_size: int = setting(
        1, "Rows per process and batch of evaluation; changes no metric.", range=COUNT
    )
    num_train_epochs: float = setting(
        1,
        "Passes over the data; used if max_steps is -1, or if this is written and max_steps is not.",
        range=Range(0, 1e6, above=True),
    )
    max_steps: int = setting(100, "Updates to run; -1: as many as num_train_epochs needs.", range=COUNT_OR_MINUS_ONE)
    learning_rate: float = setting(1e-6, "Peak learning rate.", range=Range(SMALL, 1))
    warmup_steps: int = setting(
        10,
        "Updates of linear warm-up; the first one runs at a rate of 0. Above 0 it replaces warmup_ratio.",
        range=COUNT_OR_NONE,
    )
    logging_steps: int = setting(1, "Updates between two lines of the log.", range=COUNT)
    evaluation_strategy: str = setting(
        "steps",
        "When to evaluate: steps (every eval_steps updates), epoch (after each pass), no (only after training).",
        choices=STRATEGIES,
    )
    save_strategy: str = setting(
        "steps", "When to save a checkpoint; no: never, only the final model is saved.", choices=STRATEGIES
    )
    eval_steps: int = setting(100, "Updates between two evaluations.", range=COUNT)
    save_steps: int = setting(500, "Updates between two checkpoints.", range=COUNT)
    bf16: bool = setting(
        True,
        "Train in bfloat16. On a CPU the default is false; true means products in bfloat16 (O1), or with lora frozen "
        "weights in 16 bits (O2).",
    )
    fp16_opt_level: str = setting(
        "O2",
        "With bf16: O1 is mixed precision, O2 keeps the weights in bfloat16, too. On a CPU O2 needs lora.",
        choices=["O1", "O2"],
    )
    do_train: bool = setting(True, "Train.")
    do_eval: bool = setting(True, "Evaluate during training and after it; changes to false without dev_dataset_path.")
    load_best_model_at_end: bool = setting(True, "The final model is the checkpoint with the best evaluation.")
    tensor_parallel_degree: int = setting(
        -1, "Ranks that share each layer's matrices; -1: none.", range=COUNT_OR_MINUS_ONE
    )
    sequence_parallel: bool = setting(
        False, "With tensor_parallel_degree: split norms and residuals along the tokens among these ranks, too."
    )
    pipeline_parallel_degree: int = setting(
        -1, "Pipeline stages that the layers are divided into; -1: one.", range=COUNT_OR_MINUS_ONE
    )
    sharding_parallel_degree: int = setting(
        -1,
        "Ranks that share the optimizer's state; -1: all ranks that have data of their own.",
        range=COUNT_OR_MINUS_ONE,
    )
    sharding: str = setting(
        "stage1",
        "Sharded data parallelism; empty: none. With a single process the default changes to empty.",
        choices=["", "stage1", "stage2", "stage3"],
    )
    recompute: bool = setting(False, "Recompute activations in the backward pass to save memory.")
    recompute_granularity: str = setting("full", "What is recomputed; for Mistral only full.", choices=GRANULARITIES)
    unified_checkpoint: bool = setting(
        True, "Checkpoints as safetensors in PaddleNLP's unified form, which any layout can resume; false: .pdparams."
    )
    nan_policy: str = setting(
        "stop",
        "When a loss or gradient is NaN or infinite: stop and name the records, or skip the update and count it.",
        choices=["stop", "skip"],
    )
    seed: int = setting(
        42, "Seed of the order of rows and of everything else that is random.", range=Range(0, 2**32 - 1)
    )
    weight_decay: float = setting(0.0, "Weight decay of AdamW.", range=Range(0, LARGEST))
    adam_beta1: float = setting(0.9, "beta1 of AdamW.", range=BETA)
    adam_beta2: float = setting(0.999, "beta2 of AdamW.", range=BETA)
    adam_epsilon: float = setting(
        1e-8, "epsilon of AdamW.", range=Range(1e-20, 1, why="float32 loses the square of a gradient that is smaller")
    )
    max_grad_norm: float = setting(
        1.0, "Gradients are clipped to this norm; 0: no clipping.", range=Range(SMALL, 1e30, also=0)
    )
    lr_scheduler_type: str = setting("linear", "Schedule of the learning rate after warm-up.", choices=SCHEDULES)
    warmup_ratio: float = setting(
        0.0, "Warm-up as a share of all updates; used if warmup_steps is 0.", range=Range(0, 1)
    )
    num_cycles: float = setting(0.5, "Waves of the cosine schedule.", range=Range(0, LARGEST))
    lr_end: float = setting(1e-7, "Final rate of the polynomial schedule.", range=Range(0, 1))
    power: float = setting(1.0, "Power of the polynomial schedule.", range=Range(0, 1000))
    save_total_limit: int | None = setting(
        None, "How many checkpoints to keep, not counting the best one; null or 0: all.", range=COUNT_OR_NONE
    )
    overwrite_output_dir: bool = setting(
        False, "Start afresh: delete the checkpoints in output_dir, and replace its model at the end."
    )
    resume_from_checkpoint: str | None = setting(
        None, "Resume from this checkpoint instead of the last one in output_dir."
    )
    metric_for_best_model: str | None = setting(
        None, "Metric that load_best_model_at_end compares, without eval_; null: loss."
    )
    greater_is_better: bool | None = setting(
        None, "Whether more of that metric is better; null: true, except for loss, perplexity and ece."
    )
    disable_tqdm: bool | None = setting(
        None, "Progress bars. true: none; false: always; null: on a terminal and under the launcher, not in a file."
    )
    logging_dir: str | None = setting(
        None,
        "Folder of the curves, with a sub-folder for each run, named as its output_dir; null: runs in output_dir.",
    )
    logging_first_step: bool = setting(False, "Log the first update, too.")
    report_to: list[str] | None = setting(
        None, "Where curves are written; none: nowhere; null: visualdl.", choices=REPORTS
    )
    verbose: bool = setting(False, "Show every setting before the run, not only those that are not defaults.")
    device: str = setting("gpu", "Device to train on; changes to cpu in a CPU build of PaddlePaddle.")
    amp_master_grad: bool = setting(False, "float32 gradients with bf16 and O2.")
    sharding_parallel_config: str = setting("", "PaddleNLP's options for sharding, separated by blanks.")
    tensor_parallel_config: str = setting("", "PaddleNLP's options for tensor parallelism, separated by blanks.")


@dataclass(frozen=True)
class DataArgument:
    train_dataset_path: list[str] | None = setting(
        None, "Training data: files, folders or patterns; needed if do_train is true."
    )
    dev_dataset_path: list[str] | None = setting(None, "Held-out data: files, folders or patterns.")
    test_dataset_dir: str | None = setting(
        None, "Folder of test data: each of its files is evaluated by itself after training."
    )
    test_files: list[str] | None = setting(
        None, "Names of files of test_dataset_dir, also with commas between; null: all of them."
    )
    max_seq_len: int = setting(
        4096,
        "Tokens of a packed row, and of one solution at most; lowered if the model attends over fewer.",
        range=Range(4, COUNTED, why="a start, a prompt, a step and its placeholder"),
    )
    max_prompt_len: int = setting(2048, "Tokens of a prompt at most; a longer one is cut from the left.", range=COUNT)
    autotuner_benchmark: bool = setting(False, "5 updates without evaluation and saving, for an autotuner.")
    benchmark: bool = setting(False, "Measure the speed of training: no evaluation, no checkpoints, no model.")
    zero_padding: bool = setting(True, "Pack several solutions into a row instead of padding each one.")
    greedy_zero_padding: bool = setting(
        False, "Pack best-fit instead of in the order of the data: fewer rows, less padding."
    )
    prefix_sharing: bool = setting(
        True, "Compute shared prefixes of solutions to a prompt once; loss, gradients and metrics stay the same."
    )
    prefix_sharing_window: int | None = setting(
        None,
        f"Number of solutions within which equal prompts are found; null: all, or {STREAM_WINDOW} with lazy.",
        range=COUNT,
    )
    cache_dir: str | None = setting(None, "Folder for packed rows, which later runs of the same data map into memory.")
    dataset_num_proc: int | None = setting(
        None, "Processes that tokenise the data; null: one for each CPU where the data is large.", range=Range(1, 1024)
    )
    lazy: bool = setting(False, "Stream the data: constant memory, no shuffling, needs max_steps.")
    use_chat_template: bool = setting(False, "Write the dialogue in the tokenizer's chat template.")
    skip_bad_records: bool = setting(False, "Drop and count records that cannot be used, instead of stopping.")


@dataclass(frozen=True)
class ModelArgument:
    model_name_or_path: str = field(
        metadata={"help": "Model to start from: a folder, or a name that PaddleNLP can download."}
    )
    tokenizer_name_or_path: str | None = setting(None, "Tokenizer, if it is not in the model's folder.")
    use_flash_attention: bool = setting(False, "With flash_mask: attention by FlashMask. No effect on a CPU.")
    flash_mask: bool = setting(
        False, "FlashMask; needs use_flash_attention. Without both a GPU uses a dense mask. No effect on a CPU."
    )
    virtual_pp_degree: int = setting(
        1, "Pipeline stages per rank.", range=Range(1, 1, why="a rank has one stage of the pipeline here")
    )
    lora: bool = setting(False, "Train low-rank adapters instead of all weights.")
    lora_rank: int = setting(8, "Rank of the adapters.", range=Range(1, WIDEST))
    lora_alpha: int = setting(16, "Adapters are scaled by lora_alpha / lora_rank.", range=Range(1, WIDEST))
    lora_target_modules: list[str] | None = setting(
        None, "Layers that get adapters, such as q_proj; null: every projection of attention and MLP."
    )


# The settings that identify a run: with another value here a checkpoint would be resumed as a different run.
IDENTITY = tuple(
    (
        "seed max_seq_len max_prompt_len zero_padding greedy_zero_padding prefix_sharing prefix_sharing_window lazy "
        "use_chat_template lora lora_rank lora_alpha lora_target_modules "
        "learning_rate warmup_steps warmup_ratio max_steps num_train_epochs lr_scheduler_type lr_end num_cycles power "
        "weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm bf16 fp16_opt_level amp_master_grad"
    ).split()
)


def is_unobeyed(name: str) -> bool:
    """Whether PaddleNLP's Trainer has a setting of this name. Those that are obeyed here are all above."""
    found = importlib.util.find_spec("paddlenlp")  # read as text: importing it takes seconds
    if found is None or found.origin is None:
        return False
    source = Path(found.origin).parent / "trainer" / "training_args.py"
    return source.is_file() and bool(re.search(rf"^    {re.escape(name)}: ", source.read_text("utf-8"), re.MULTILINE))
