"""A causal LM as a reward model: the same weights, another forward."""

from __future__ import annotations

import types

from llm.core.backbone import hidden_states, reward_logits
from llm.core.reward_tokens import RewardTokens


def as_reward_model(model, tokens: RewardTokens):
    """`model(input_ids, position_ids, end_row, scored)` gives the [K, 2] logits of the scored positions.

    The forward is replaced on the instance: the class, and so what is saved, stays the causal LM that it was, and
    Paddle's wrappers for several ranks find the whole computation inside one forward.
    """

    def forward(self, input_ids, position_ids, end_row, scored):
        hidden_BSE = hidden_states(self, input_ids, position_ids, end_row)
        return reward_logits(self, hidden_BSE, scored, tokens)

    # past Layer.__setattr__, with which PaddleNLP guards the forward's signature for generation
    model.__dict__["forward"] = types.MethodType(forward, model)
    return model
