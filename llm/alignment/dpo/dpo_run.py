"""The settings of a training on pairs: resolved against the machine and the model, then frozen. No paddle here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from llm.alignment.dpo import dpo_checks
from llm.alignment.dpo.dpo_argument import CLASSES, IDENTITY, ModelArgument, TrainingArguments
from llm.alignment.dpo.dpo_checks import Reference
from llm.core.model.folder import find_model
from llm.core.model.head.head_kinds import LM
from llm.core.run.resolve import resolve_settings
from llm.core.run.run import Run


@dataclass(frozen=True)
class DpoRun(Run):
    training: TrainingArguments
    model: ModelArgument
    identity_settings: ClassVar[tuple[str, ...]] = IDENTITY

    @property
    def reference(self) -> Reference:
        return dpo_checks.reference_of(self.settings)

    @property
    def reference_path(self) -> str:
        """Of a model that is asked while the policy trains."""
        given = self.model.reference_model_name_or_path
        return find_model(given, "reference_model_name_or_path") if given else self.model_path


def resolve_run(argv: list[str], description: str) -> DpoRun:
    """ValueError with everything that is wrong with the settings."""
    run = DpoRun(*resolve_settings(CLASSES, argv, description, dpo_checks.note_problems, lambda settings: LM))
    if run.reference is Reference.MODEL:
        dpo_checks.fit_to_reference(run.settings, run.reference_path)
    return run
