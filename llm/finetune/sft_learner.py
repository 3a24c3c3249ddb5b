"""What fine-tuning brings to a run."""

from __future__ import annotations

from functools import partial

from llm.core.rows.answer_payload import NextTokens
from llm.core.run.answer_format import AnswerFormat
from llm.core.run.language_model import build_model, weights_of_checkpoint
from llm.core.run.work import Learner
from llm.finetune.sft_objective import AnswerObjective
from llm.finetune.sft_run import SftRun


def learner_of(run: SftRun, answer_format: AnswerFormat) -> Learner:
    weights = weights_of_checkpoint(run)
    return Learner(answer_format, NextTokens, AnswerObjective(), weights, partial(build_model, run))
