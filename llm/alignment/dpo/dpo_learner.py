"""What training on pairs brings to a run."""

from __future__ import annotations

from functools import partial

from llm.alignment.dpo.dpo_checks import Reference
from llm.alignment.dpo.dpo_objective import PairObjective
from llm.alignment.dpo.dpo_run import DpoRun
from llm.alignment.dpo.losses import LossSettings
from llm.alignment.dpo.reference import reference_of
from llm.core.model.config import read_sizes
from llm.core.model.head.head_kinds import LM
from llm.core.model.load import fingerprint
from llm.core.rows.answer_payload import ComparedAnswers
from llm.core.run.answer_format import AnswerFormat
from llm.core.run.language_model import build_model, weights_of_checkpoint
from llm.core.run.work import Learner
from llm.core.train.library_arguments import LibraryArguments


def learner_of(run: DpoRun, answer_format: AnswerFormat) -> Learner:
    training = run.training
    settings = LossSettings(**{name: getattr(training, name) for name in LossSettings._fields})
    objective = PairObjective(settings, has_reference=run.reference is not Reference.NONE)
    return Learner(
        answer_format,
        ComparedAnswers,
        objective,
        weights_of_checkpoint(run),
        partial(build_policy, run, objective),
        identity=identity_of_reference(run),
    )


def identity_of_reference(run: DpoRun) -> dict[str, str]:
    """What a checkpoint must share with a run that resumes it: a policy is compared with one reference all along."""
    if run.reference is not Reference.MODEL:
        return {"reference": run.reference.value}
    return {"reference": fingerprint(run.reference_path, read_sizes(run.reference_path, LM).model_type)}


def build_policy(run: DpoRun, objective: PairObjective, attend, arguments: LibraryArguments):
    model = build_model(run, attend, arguments)
    objective.reference = reference_of(run, model, attend, arguments)
    return model
