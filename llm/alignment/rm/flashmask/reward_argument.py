"""The settings of run_reward.py: names, defaults and meanings. reward_checks.py says where they cannot hold."""

from dataclasses import dataclass, field
from typing import List, Optional  # noqa: UP035 (PaddleNLP's own parsers know these forms only)

from paddlenlp import trainer as paddlenlp_trainer

from llm.core.model import pipeline
from llm.core.rows.packing import STREAM_WINDOW

MISPRINTS = {"max_seq_le": "max_seq_len", "eval_strategy": "evaluation_strategy", "lr": "learning_rate"}
STRATEGIES = ["no", "steps", "epoch"]
GRANULARITIES = ["full", "full_attn", "core_attn"]

# What PaddleNLP's Trainer has beyond the documented settings and this script obeys. The rest of its some 200 settings
# is refused when written, because nothing here looks at it.
TRAINER_SETTINGS = (
    "seed weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm lr_scheduler_type warmup_ratio lr_end "
    "num_cycles power save_total_limit disable_tqdm resume_from_checkpoint "
    "logging_dir logging_first_step metric_for_best_model greater_is_better report_to device amp_master_grad "
    "sharding_parallel_config tensor_parallel_config"
).split()


def documented(default, meaning, **metadata):
    return field(default=default, metadata={"help": meaning, **metadata})


@dataclass
class TrainingArguments(paddlenlp_trainer.TrainingArguments):
    output_dir: str = documented("./checkpoints/dpo_ckpts", "Folder for the model, checkpoints, logs and results.")
    per_device_train_batch_size: int = documented(1, "Rows per device and micro-batch in training.")
    gradient_accumulation_steps: int = documented(8, "Micro-batches per update.")
    per_device_eval_batch_size: int = documented(1, "Rows per device and batch in evaluation.")
    num_train_epochs: float = documented(1, "Passes over the data; counts where max_steps is -1 or not written.")
    max_steps: int = documented(100, "Updates to run; -1: as many as num_train_epochs has.")
    learning_rate: float = documented(1e-6, "Highest learning rate.")
    warmup_steps: int = documented(10, "Updates of linear warm-up; above 0 it takes the place of warmup_ratio.")
    logging_steps: int = documented(1, "Updates between two lines of the log.")
    evaluation_strategy: str = documented("steps", "When to evaluate while training.", choices=STRATEGIES)
    save_strategy: str = documented("steps", "When to save a checkpoint.", choices=STRATEGIES)
    eval_steps: int = documented(100, "Updates between two evaluations.")
    save_steps: int = documented(500, "Updates between two checkpoints.")
    bf16: bool = documented(True, "Train in bfloat16 (gives way to float32 on a CPU).")
    fp16_opt_level: str = documented(
        "O2", "O1: mixed precision; O2: weights in half precision, too.", choices=["O1", "O2"]
    )
    do_train: bool = documented(True, "Train.")
    do_eval: bool = documented(True, "Evaluate, while training and after it.")
    load_best_model_at_end: bool = documented(True, "Keep the checkpoint with the best evaluation as the model.")
    tensor_parallel_degree: int = documented(-1, "Parts that each layer is cut into; -1: none.")
    sequence_parallel: bool = documented(False, "Cut norms and residuals along the tokens among these parts, too.")
    pipeline_parallel_degree: int = documented(-1, "Stages that the layers are dealt out to; -1: one.")
    sharding_parallel_degree: int = documented(-1, "Ranks that share the optimiser's state; -1: all there are.")
    sharding: str = documented(
        "stage1",
        "Sharded data parallelism: stage1, stage2, stage3 or empty.",
        choices=["", "stage1", "stage2", "stage3"],
    )
    recompute: bool = documented(False, "Recompute activations in the backward pass to save memory.")
    recompute_granularity: str = documented("full", "What is recomputed.", choices=GRANULARITIES)
    unified_checkpoint: bool = documented(True, "Checkpoints in PaddleNLP's unified safetensors form.")
    process_reward: bool = documented(True, "true: a score per step (PRM); false: one per answer (ORM).")
    prm_loss: str = documented(
        "reward_tokens",
        "Cross entropy over the two reward tokens, or the whole vocabulary.",
        choices=["reward_tokens", "vocabulary"],
    )
    label_smoothing: float = documented(0.0, "Labels are drawn towards 0.5 by this share of the way.")
    positive_weight: float = documented(1.0, "What the positive part of a label counts; the negative part counts 1.")
    balance_labels: bool = documented(False, "positive_weight that lets both parts of the training labels count alike.")
    reward_margin: float = documented(0.0, "Margin of preferences whose records have no field margin.")
    reward_centering: float = documented(0.0, "Weight of the squared sum of both rewards of a preference.")
    nan_policy: str = documented(
        "stop", "A loss or gradient that is no number: stop, or skip the update and count it.", choices=["stop", "skip"]
    )
    overwrite_output_dir: bool = documented(False, "Start afresh and delete the checkpoints in output_dir.")

    def __post_init__(self):
        # PaddleNLP turns evaluation_strategy "no" into "steps" while do_eval is set; here "no" means: at the end only.
        # With a pipeline it would also evaluate in batches of another size than per_device_eval_batch_size.
        evaluate_at_end, eval_batch_size = self.do_eval, self.per_device_eval_batch_size
        if self.evaluation_strategy == "no":
            self.do_eval = False
        self.pipeline_parallel_config = pipeline.CONFIG
        super().__post_init__()
        self.do_eval, self.per_device_eval_batch_size = evaluate_at_end, eval_batch_size


@dataclass
class DataArgument:
    train_dataset_path: Optional[List[str]] = documented(None, "Training data: files, folders or patterns.")  # noqa: UP006, UP045
    dev_dataset_path: Optional[List[str]] = documented(None, "Held-out data: files, folders or patterns.")  # noqa: UP006, UP045
    max_seq_len: int = documented(4096, "Tokens of a packed row, and of one solution at most.")
    max_prompt_len: int = documented(2048, "Tokens of a prompt at most; it is cut from the left.")
    autotuner_benchmark: bool = documented(False, "5 updates without evaluation and saving, for an autotuner.")
    benchmark: bool = documented(False, "Measure the speed of training: no evaluation, no saving.")
    zero_padding: bool = documented(True, "Pack solutions into full rows instead of padding each one.")
    greedy_zero_padding: bool = documented(False, "Pack best-fit instead of in the order of the data.")
    prefix_sharing: bool = documented(True, "Compute what solutions of a prompt begin with alike only once.")
    prefix_sharing_window: Optional[int] = documented(  # noqa: UP045
        None, f"Solutions among which prompts are looked for; none: all, or {STREAM_WINDOW} with lazy."
    )
    lazy: bool = documented(False, "Stream the data: constant memory, no shuffling, needs max_steps.")
    use_chat_template: bool = documented(False, "Write the dialogue in the tokenizer's chat template.")
    score_last_step_only: bool = documented(False, "Only the last step of a record is scored; the others are context.")
    skip_bad_records: bool = documented(False, "Drop and count records that cannot be used, instead of stopping.")


@dataclass
class ModelArgument:
    model_name_or_path: str = field(metadata={"help": "Model to start from: a folder, or a name PaddleNLP knows."})
    tokenizer_name_or_path: Optional[str] = documented(None, "Tokenizer, if it is not the model's own.")  # noqa: UP045
    use_flash_attention: bool = documented(False, "Use flash attention where the device has it.")
    recompute_granularity: str = documented("full", "What is recomputed.", choices=GRANULARITIES)
    flash_mask: bool = documented(False, "FlashMask attention; needs use_flash_attention.")
    virtual_pp_degree: int = documented(1, "Virtual pipeline stages per rank.")
    placeholder_token: str = documented("ки", "The single token at whose position a step is scored.")
    reward_tokens: str = documented("+,-", "The positive and the negative token, separated by a comma.")
    add_placeholder_token: bool = documented(False, "Add placeholder_token to the vocabulary if it is several tokens.")
    lora: bool = documented(False, "Train low-rank adapters and the two reward rows; the other weights stay.")
    lora_rank: int = documented(8, "Rank of the adapters.")
    lora_alpha: int = documented(16, "Adapters are scaled by lora_alpha / lora_rank.")
    lora_target_modules: Optional[List[str]] = documented(  # noqa: UP006, UP045
        None, "Layers that get adapters, by name such as q_proj; none: every projection of attention and MLP."
    )


CLASSES = (TrainingArguments, DataArgument, ModelArgument)


def split_reward_tokens(reward_tokens: str) -> tuple[str, ...]:
    return tuple(token.strip() for token in reward_tokens.split(","))


# What makes a run the run it is: with another value here a checkpoint of it would be continued on something else.
IDENTITY = (
    "seed max_seq_len max_prompt_len zero_padding "
    "greedy_zero_padding prefix_sharing prefix_sharing_window lazy process_reward placeholder_token reward_tokens "
    "use_chat_template score_last_step_only prm_loss label_smoothing positive_weight balance_labels reward_margin "
    "reward_centering add_placeholder_token lora lora_rank lora_alpha lora_target_modules "
    "learning_rate warmup_steps warmup_ratio "
    "max_steps num_train_epochs lr_scheduler_type lr_end num_cycles power weight_decay adam_beta1 adam_beta2 "
    "adam_epsilon max_grad_norm bf16 fp16_opt_level amp_master_grad"
).split()
