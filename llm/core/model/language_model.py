"""A causal LM that is asked for the probabilities of given next tokens."""

from __future__ import annotations

import types
from functools import partial

from llm.core.model import forward as forward_module
from llm.core.model import pipeline
from llm.core.model.head.next_tokens import log_probabilities

MODEL_INPUTS = ("input_ids", "position_ids", "end_row", "scored", "next_at", "next_ids")


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


def outputs(model, inputs):
    """[M, 2]: of each token the logarithm of its probability, and 1 for the likeliest."""
    return model(**{name: inputs[name] for name in MODEL_INPUTS})


def outputs_of_hidden(model, hidden, inputs):
    """The same in the last stage of a pipeline."""
    return model.predict(forward_module.at_scored(hidden, inputs["scored"]), inputs["next_at"], inputs["next_ids"])
