"""A causal LM as a reward model: the same weights, another forward."""

from __future__ import annotations

import types

from llm.core.model import forward as forward_module
from llm.core.model import heads, pipeline
from llm.core.model.chunked_logsumexp import log_normaliser
from llm.core.text.reward_tokens import RewardTokens


def as_reward_model(model, tokens: RewardTokens, over_vocabulary: bool = False):
    """`model(input_ids, position_ids, end_row, scored)` gives the [K, 2] logits of the scored positions; with
    `over_vocabulary` as logarithms of the probabilities among all tokens, which changes no score.

    The forward is replaced on the instance: the class, and so what is saved, stays the causal LM that it was, and
    Paddle's wrappers for several ranks find the whole computation inside one forward.
    """

    def score(hidden_KE):
        logits_K2 = heads.reward_logits(model, hidden_KE, tokens)
        if over_vocabulary:
            whole = log_normaliser(hidden_KE, model.lm_head.weight, heads.is_tied(model))
            logits_K2 = logits_K2 - whole.unsqueeze(-1)
        return logits_K2

    def forward(self, input_ids, position_ids, end_row, scored):
        hidden_BSE = forward_module.hidden_states(self, input_ids, position_ids, end_row)
        return self.lm_head(at_scored(hidden_BSE, scored))

    # Past Layer.__setattr__, with which PaddleNLP guards the forward's signature for generation. The head keeps its
    # call: sharding stage 3 brings its weight together before, and cuts it up again behind.
    model.__dict__["score"] = score
    if model.config.pipeline_parallel_degree > 1:
        pipeline.give_hidden_states(model)
    else:
        model.lm_head.__dict__["forward"] = score
        model.__dict__["forward"] = types.MethodType(forward, model)
    return model


def at_scored(hidden, scored_K):
    """[K, E]"""
    return hidden.reshape([-1, hidden.shape[-1]]).gather(scored_K)
