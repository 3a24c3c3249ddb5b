"""The settings of a fine-tuning: resolved against the machine and the model, then frozen. No paddle here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from llm.core.checkpoint import folder_settings
from llm.core.model.config import read_sizes
from llm.core.model.head.head_kinds import LM
from llm.core.run import checks
from llm.core.run.arguments import MISPRINTS, is_unobeyed
from llm.core.run.run import Run, fit, look_up_paths, this_machine
from llm.core.settings.parse import parse
from llm.finetune.sft_argument import CLASSES, IDENTITY, DataArgument, TrainingArguments
from llm.finetune.sft_metrics import COUNTS, METRICS


@dataclass(frozen=True)
class SftRun(Run):
    training: TrainingArguments
    data: DataArgument
    identity_settings: ClassVar[tuple[str, ...]] = IDENTITY


def resolve_run(argv: list[str], description: str) -> SftRun:
    """ValueError with everything that is wrong with the settings."""
    settings = parse(CLASSES, argv, description, MISPRINTS, is_unobeyed)
    machine = this_machine()
    model_path = look_up_paths(settings)
    checks.note_problems(settings, *machine, [name for name in METRICS if name not in COUNTS])
    folder_settings.note_problems(settings, model_path, checks.writes_model(settings))
    settings.check()
    sizes = read_sizes(model_path, LM)
    fit(settings, sizes)
    training, data, model = settings.build()
    return SftRun(settings, training, data, model, model_path, sizes, machine.ranks)
