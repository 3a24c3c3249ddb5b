"""The settings of run_reward.py: those of every training (llm/core/run/arguments.py), and these. No paddle here.

reward_checks.py says where they cannot hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm.core.model.head.head_kinds import LM, QUANTILE, TRAINED
from llm.core.records.fields import LARGEST
from llm.core.records.reward_records import LEAST_WEIGHT
from llm.core.run import arguments
from llm.core.run.arguments import setting
from llm.core.settings.ranges import Range


@dataclass(frozen=True)
class TrainingArguments(arguments.TrainingArguments):
    process_reward: bool = setting(True, "true: a score for each step (PRM); false: one for each answer (ORM).")
    prm_loss: str = setting(
        "reward_tokens",
        "Cross entropy over right and wrong (reward_tokens), over the whole vocabulary as in next-token prediction, "
        "pqm: the steps of a solution are ranked, or quantile: the pinball loss of reward_head quantile.",
        choices=["reward_tokens", "vocabulary", "pqm", QUANTILE],
    )
    pqm_margin: float = setting(
        4.0, "With prm_loss pqm: what wrong steps must lie below right ones.", range=Range(0, LARGEST)
    )
    label_smoothing: float = setting(
        0.0,
        "A label y becomes y * (1 - label_smoothing) + label_smoothing / 2.",
        range=Range(0, 1, below=True, why="with 1 every label would be 0.5"),
    )
    positive_weight: float = setting(
        1.0,
        "Weight of the positive part of a label in the loss; the negative part has weight 1.",
        range=Range(LEAST_WEIGHT, LARGEST),
    )
    balance_labels: bool = setting(
        False, "Choose positive_weight so that both parts of the training labels have the same total weight."
    )
    reward_margin: float = setting(0.0, "Margin of preferences whose record has no margin.", range=Range(0, LARGEST))
    reward_centering: float = setting(
        0.0,
        "Weight of (reward of chosen + reward of rejected)^2, which keeps rewards around 0; 0.01 is usual.",
        range=Range(0, LARGEST),
    )


@dataclass(frozen=True)
class DataArgument(arguments.DataArgument):
    score_last_step_only: bool = setting(False, "Score only the last step of a record; the others are context.")


@dataclass(frozen=True)
class ModelArgument(arguments.ModelArgument):
    placeholder_token: str = setting("ки", "The token at whose position a step is scored; one token.")
    reward_tokens: str = setting("+,-", "The positive and the negative token, separated by a comma; one token each.")
    reward_head: str = setting(
        LM,
        "What makes a reward of a hidden state: lm (the reward tokens' rows of the LM head), linear (two classes, as "
        "in TRL), mlp (two layers, as in Qwen2.5-Math-PRM), value (one number) or quantile (the median of a label and "
        "the interval in which it lies in 8 of 10 cases). A published model keeps its head.",
        choices=list(TRAINED),
    )
    init_reward_head: bool = setting(False, "Start with a new reward_head, at random, if the model has none.")
    add_placeholder_token: bool = setting(
        False, "Add placeholder_token to the vocabulary if it is more than one token."
    )
    lora: bool = setting(
        False, "Train low-rank adapters and the head (with lm its two reward rows) instead of all weights."
    )


CLASSES = (TrainingArguments, DataArgument, ModelArgument)

# The settings that identify a run: with another value here a checkpoint would be resumed as a different run.
IDENTITY = (
    *arguments.IDENTITY,
    *(
        "process_reward placeholder_token reward_tokens score_last_step_only prm_loss label_smoothing positive_weight "
        "balance_labels reward_margin reward_centering add_placeholder_token pqm_margin reward_head"
    ).split(),
)
