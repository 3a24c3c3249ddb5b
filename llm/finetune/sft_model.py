"""A causal LM that is asked for the probabilities of given next tokens, and learns them."""

from __future__ import annotations

import types
from functools import partial

from paddlenlp.trainer import set_seed

from llm.core import patches
from llm.core.model import forward as forward_module
from llm.core.model import pipeline, shapes
from llm.core.model.adapters import lora
from llm.core.model.config import load_config
from llm.core.model.head.head_kinds import LM
from llm.core.model.head.next_tokens import log_probabilities
from llm.core.parallel.ranks import say
from llm.core.rows.payload import NextTokens
from llm.core.run.work import Learner
from llm.core.train.library_arguments import LibraryArguments
from llm.finetune.sft_format import SftFormat
from llm.finetune.sft_objective import AnswerObjective
from llm.finetune.sft_run import SftRun


def learner_of(run: SftRun, sft_format: SftFormat) -> Learner:
    weights = shapes.of_model(run.sizes)
    if run.model.lora:
        rank, targets = run.model.lora_rank, run.model.lora_target_modules
        weights = lora.shapes_of_trained(run.sizes, rank, targets, of_rewards=False)
    return Learner(sft_format, NextTokens, AnswerObjective(), weights, partial(build_model, run))


def as_language_model(model):
    """`model(input_ids, position_ids, end_row, scored, next_at, next_ids)` gives `log_probabilities`. The forward is
    replaced on the instance, so that what is saved stays the causal LM that it was; and inside that of the LM head,
    whose weight sharding stage 3 brings together before its call."""

    def forward(self, input_ids, position_ids, end_row, scored, next_at, next_ids):
        hidden_BSE = forward_module.hidden_states(self, input_ids, position_ids, end_row)
        return self.lm_head(forward_module.at_scored(hidden_BSE, scored), next_at, next_ids)

    predict = partial(log_probabilities, model)
    model.__dict__["predict"] = predict
    if model.config.pipeline_parallel_degree > 1:
        pipeline.give_hidden_states(model)
        return model
    model.lm_head.__dict__["forward"] = predict
    model.__dict__["forward"] = types.MethodType(forward, model)
    return model


def build_model(run: SftRun, attend, arguments: LibraryArguments):
    """The model that trains: loaded, with adapters if asked."""
    set_seed(run.training.seed)
    model = patches.load_model(run.model_path, load_config(run.model_path, LM), attend, run.weight_dtype, arguments)
    model = as_language_model(model)
    if not run.model.lora:
        return model
    asked = run.model
    adapted = lora.attach(
        model,
        None,
        base=run.model_path,
        rank=asked.lora_rank,
        alpha=asked.lora_alpha,
        targets=asked.lora_target_modules,
        seed=run.training.seed,
    )
    say(lora.describe(adapted))
    return adapted
