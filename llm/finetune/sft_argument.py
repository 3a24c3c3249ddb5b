"""The settings of run_finetune.py: those of every training (llm/core/run/arguments.py), and these. No paddle here."""

from __future__ import annotations

from dataclasses import dataclass

from llm.core.run import arguments
from llm.core.run.arguments import SMALL, ModelArgument, setting
from llm.core.settings.ranges import Range


@dataclass(frozen=True)
class TrainingArguments(arguments.TrainingArguments):
    output_dir: str = setting("./checkpoints/sft_ckpts", "Folder for the model, checkpoints, log and results.")
    learning_rate: float = setting(1e-5, "Peak learning rate.", range=Range(SMALL, 1))


@dataclass(frozen=True)
class DataArgument(arguments.DataArgument):
    learn_last_answer: bool = setting(
        False, "Learn only the last answer of a dialogue; the earlier ones are context. false: every answer."
    )


CLASSES = (TrainingArguments, DataArgument, ModelArgument)

# The settings that identify a run: with another value here a checkpoint would be resumed as a different run.
IDENTITY = (*arguments.IDENTITY, "learn_last_answer")
