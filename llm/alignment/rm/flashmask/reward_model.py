"""A causal LM as a reward model: the same weights, another forward."""

from __future__ import annotations

import types

from llm.core.backbone import hidden_states, is_tied, reward_logits
from llm.core.log_normaliser import log_normaliser
from llm.core.reward_tokens import RewardTokens


def as_reward_model(model, tokens: RewardTokens, over_vocabulary: bool = False):
    """`model(input_ids, position_ids, end_row, scored)` gives the [K, 2] logits of the scored positions; with
    `over_vocabulary` as logarithms of the probabilities among all tokens, which changes no score.

    The forward is replaced on the instance: the class, and so what is saved, stays the causal LM that it was, and
    Paddle's wrappers for several ranks find the whole computation inside one forward.
    """

    def forward(self, input_ids, position_ids, end_row, scored):
        hidden_BSE = hidden_states(self, input_ids, position_ids, end_row)
        hidden_KE = hidden_BSE.reshape([-1, hidden_BSE.shape[-1]]).gather(scored)
        logits_K2 = reward_logits(self, hidden_KE, tokens)
        if over_vocabulary:
            logits_K2 = logits_K2 - log_normaliser(hidden_KE, self.lm_head.weight, is_tied(self)).unsqueeze(-1)
        return logits_K2

    # past Layer.__setattr__, with which PaddleNLP guards the forward's signature for generation
    model.__dict__["forward"] = types.MethodType(forward, model)
    return model
