"""The settings of run_dpo.py: those of every training (llm/core/run/arguments.py), and these. No paddle here.

dpo_checks.py says where they cannot hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm.alignment.dpo.loss_kinds import KINDS, SIGMOID
from llm.core.records.fields import LARGEST
from llm.core.run import arguments
from llm.core.run.arguments import SMALL, setting
from llm.core.settings.ranges import Range


@dataclass(frozen=True)
class TrainingArguments(arguments.TrainingArguments):
    loss_type: str = setting(
        SIGMOID, "What is learnt from a pair of answers; docs/dpo.md has the formulas.", choices=list(KINDS)
    )
    beta: float = setting(
        0.1, "How strongly the policy is kept near the reference; the factor of a reward.", range=Range(SMALL, LARGEST)
    )
    label_smoothing: float = setting(
        0.0,
        "With loss_type conservative, robust and exo_pair: the share ε of preferences taken to be the wrong way round.",
        range=Range(0, 0.5, below=True, why="with 0.5 a preference would say nothing"),
    )
    simpo_gamma: float = setting(
        0.5, "With loss_type simpo: what the reward of chosen must exceed that of rejected by.", range=Range(0, LARGEST)
    )
    normalize_logps: bool = setting(
        False, "Log-probabilities of answers are means over their tokens instead of sums, of the reference, too."
    )
    sft_loss_ratio: float = setting(
        0.0,
        "Adds so many times the mean of -log p over the tokens of the chosen answer.",
        range=Range(0, LARGEST),
    )
    reference_free: bool = setting(False, "Leave the reference out: rewards are log-probabilities of the policy alone.")


@dataclass(frozen=True)
class DataArgument(arguments.DataArgument):
    reference_logprobs: str | None = setting(
        None, "File with the log-probabilities of the reference, written ahead by python -m llm reference-logprobs."
    )


@dataclass(frozen=True)
class ModelArgument(arguments.ModelArgument):
    reference_model_name_or_path: str | None = setting(
        None, "The reference; null: the model that training starts from, with lora the same weights without adapters."
    )


CLASSES = (TrainingArguments, DataArgument, ModelArgument)

# The settings that identify a run: with another value here a checkpoint would be resumed as a different run.
IDENTITY = (
    *arguments.IDENTITY,
    *"loss_type beta label_smoothing simpo_gamma normalize_logps sft_loss_ratio reference_free".split(),
)
