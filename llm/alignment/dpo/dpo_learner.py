"""What training on pairs brings to a run."""

from __future__ import annotations

from functools import partial

from llm.alignment.dpo.dpo_checks import Reference
from llm.alignment.dpo.dpo_objective import PairObjective
from llm.alignment.dpo.dpo_run import DpoRun
from llm.alignment.dpo.losses import LossSettings
from llm.alignment.dpo.outcome_objective import OutcomeObjective
from llm.alignment.dpo.policy_objective import PolicyObjective
from llm.alignment.dpo.reference.weights import identity_of_reference
from llm.alignment.dpo.reference.while_training import reference_of
from llm.core.rows.answer_payload import ComparedAnswers, JudgedAnswers
from llm.core.run.answer_format import AnswerFormat
from llm.core.run.language_model import build_model, weights_of_checkpoint
from llm.core.run.work import Learner
from llm.core.train.library_arguments import LibraryArguments


def learner_of(run: DpoRun, answer_format: AnswerFormat) -> Learner:
    training = run.training
    settings = LossSettings(**{name: getattr(training, name) for name in LossSettings._fields})
    kind, payload = (OutcomeObjective, JudgedAnswers) if run.of_labels else (PairObjective, ComparedAnswers)
    objective = kind(settings, has_reference=run.reference is not Reference.NONE)
    return Learner(
        answer_format,
        payload,
        objective,
        weights_of_checkpoint(run),
        partial(build_policy, run, objective),
        identity=identity_of_reference(run),
    )


def build_policy(run: DpoRun, objective: PolicyObjective, attend, arguments: LibraryArguments):
    model = build_model(run, attend, arguments)
    objective.reference = reference_of(run, model, attend, arguments)
    return model
