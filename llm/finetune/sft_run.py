"""The settings of a fine-tuning: resolved against the machine and the model, then frozen. No paddle here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from llm.core.run import checks
from llm.core.run.resolve import resolve_settings
from llm.core.run.run import Run
from llm.core.settings.settings import Settings
from llm.finetune.sft_argument import CLASSES, IDENTITY, DataArgument, TrainingArguments
from llm.finetune.sft_metrics import COUNTS, METRICS


@dataclass(frozen=True)
class SftRun(Run):
    training: TrainingArguments
    data: DataArgument
    identity_settings: ClassVar[tuple[str, ...]] = IDENTITY


def resolve_run(argv: list[str], description: str) -> SftRun:
    """ValueError with everything that is wrong with the settings."""
    return SftRun(*resolve_settings(CLASSES, argv, description, note_problems))


def note_problems(settings: Settings, ranks: int, has_cuda: bool) -> None:
    checks.note_problems(settings, ranks, has_cuda, [name for name in METRICS if name not in COUNTS])
