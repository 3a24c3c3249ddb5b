"""Answers by a policy and by its reference: what every loss of this folder is about.

Legend: M tokens of A answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle

from llm.alignment.dpo.dpo_metrics import Side
from llm.alignment.dpo.losses import LossSettings
from llm.core.model import language_model

Reference = Callable[[dict], Any]  # batch -> outputs of the reference, [M, 2]


class PolicyObjective:
    """Outputs are [M, C] of the answers' tokens: the logarithm of their probability by the policy, 1 for the likeliest,
    and from a `reference` that is asked now the same two numbers again."""

    def __init__(self, settings: LossSettings, has_reference: bool):
        self.settings = settings
        self.has_reference = has_reference
        self.reference: Reference | None = None  # None with has_reference: the batches bring what it says

    def outputs(self, model, inputs):
        outputs_M2 = language_model.outputs(model, inputs)
        if self.reference is None:
            return outputs_M2
        with paddle.no_grad():
            reference_M2 = self.reference(inputs)
        return paddle.concat([outputs_M2, reference_M2], axis=-1)

    def outputs_of_hidden(self, model, hidden, inputs):
        return language_model.outputs_of_hidden(model, hidden, inputs)

    def answers(self, outputs_MC, inputs) -> Side:
        """[A]: sums over the tokens of each answer, in float64: the small difference of two large ones is learnt."""
        answers_M, outputs_MC = inputs["answers"], outputs_MC.astype("float64")
        log_p_A = paddle.geometric.segment_sum(outputs_MC[:, 0], answers_M)
        tokens_A = paddle.geometric.segment_sum(paddle.ones_like(outputs_MC[:, 0]), answers_M)
        reference_A = paddle.zeros_like(log_p_A)
        if self.reference is not None:
            reference_A = paddle.geometric.segment_sum(outputs_MC[:, 2], answers_M)
        elif self.has_reference:
            reference_A = inputs["reference"][: len(log_p_A)]  # there may be several blank rows
        return Side(log_p_A, reference_A, tokens_A)

    def rewards(self, side: Side):
        """Of each of its answers."""
        return self.settings.beta * self.log_ratios(side)

    def log_ratios(self, side: Side):
        ratios = side.log_p - side.reference
        return ratios / side.tokens if self.settings.normalize_logps else ratios
