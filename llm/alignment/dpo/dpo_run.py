"""The settings of a training on pairs: resolved against the machine and the model, then frozen. No paddle here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from llm.alignment.dpo import dpo_checks
from llm.alignment.dpo.dpo_argument import CLASSES, IDENTITY, DataArgument, ModelArgument, TrainingArguments
from llm.alignment.dpo.dpo_checks import Reference
from llm.alignment.dpo.loss_kinds import KINDS
from llm.core.model.folder import find_model
from llm.core.run.resolve import resolve_settings
from llm.core.run.run import Run


@dataclass(frozen=True)
class DpoRun(Run):
    training: TrainingArguments
    data: DataArgument
    model: ModelArgument
    identity_settings: ClassVar[tuple[str, ...]] = IDENTITY

    @property
    def of_labels(self) -> bool:
        """Learns from answers with a label each, not from pairs."""
        return KINDS[self.training.loss_type].of_labels

    @property
    def reference(self) -> Reference:
        return dpo_checks.reference_of(self.settings)

    @property
    def reference_file(self) -> Path | None:
        """Of what the reference said ahead."""
        return Path(self.data.reference_logprobs).expanduser() if self.data.reference_logprobs else None

    @property
    def reference_path(self) -> str:
        """Of the model that is asked, ahead or while the policy trains."""
        given = self.model.reference_model_name_or_path
        return find_model(given, "reference_model_name_or_path") if given else self.model_path


def resolve_run(argv: list[str], description: str) -> DpoRun:
    """ValueError with everything that is wrong with the settings."""
    run = DpoRun(*resolve_settings(CLASSES, argv, description, dpo_checks.note_problems))
    if run.reference in (Reference.MODEL, Reference.FILE):
        dpo_checks.fit_to_reference(run.settings, run.reference_path)
    return run
