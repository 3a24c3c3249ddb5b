"""What a policy learns from pairs of answers.

Legend: M tokens of A answers, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from llm.alignment.dpo.dpo_metrics import SUMS, Side, pair_metrics, sums_of
from llm.alignment.dpo.loss_kinds import KINDS
from llm.alignment.dpo.losses import LOSSES, LossSettings
from llm.core.model import language_model
from llm.core.parallel.ranks import sum_over_ranks

Reference = Callable[[dict], Any]  # batch -> outputs of the reference, [M, 2]


class PairObjective:
    """Outputs are [M, C] of the answers' tokens: the logarithm of their probability by the policy, 1 for the likeliest,
    and from a `reference` that is asked now the same two numbers again."""

    statistics = (*SUMS, "tokens", "solutions")

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

    def loss_and_statistics(self, outputs_MC, inputs):
        chosen, rejected = self.sides(outputs_MC, inputs)
        real_P = (inputs["pair_weights"] > 0).astype("float64")
        losses_P = self.losses(chosen, rejected, real_P, sum_over_ranks)
        loss = (inputs["pair_weights"].astype("float64") * losses_P).sum()
        with paddle.no_grad():
            sums = sums_of(chosen, rejected, (self.rewards(chosen), self.rewards(rejected)), real_P)
        counts = {"tokens": inputs["tokens"], "solutions": inputs["solution_count"]}
        return loss.astype("float32"), sums | counts

    def sides(self, outputs_MC, inputs) -> tuple[Side, Side]:
        """Sums over the tokens of each answer, in float64: the small difference of two large ones is learnt from."""
        answers_M, outputs_MC = inputs["answers"], outputs_MC.astype("float64")
        log_p_A = paddle.geometric.segment_sum(outputs_MC[:, 0], answers_M)
        tokens_A = paddle.geometric.segment_sum(paddle.ones_like(outputs_MC[:, 0]), answers_M)
        reference_A = paddle.zeros_like(log_p_A)
        if self.reference is not None:
            reference_A = paddle.geometric.segment_sum(outputs_MC[:, 2], answers_M)
        elif self.has_reference:
            reference_A = inputs["reference"]
        of_answers = (log_p_A, reference_A, tokens_A)
        chosen, rejected = (
            [column_A.gather(inputs[side]) for column_A in of_answers] for side in ("chosen", "rejected")
        )
        return Side(*chosen), Side(*rejected)

    def losses(self, chosen: Side, rejected: Side, real_P, over_ranks: Callable[[list], list] = list):
        """[P]; `over_ranks` adds numbers of this batch to those of the batches that are learnt with it."""
        settings, u_P, v_P = self.settings, self._log_ratios(chosen), self._log_ratios(rejected)
        means = []
        if KINDS[settings.loss_type].over_batch:
            *sums, pairs = over_ranks([float((column_P * real_P).sum()) for column_P in (u_P, v_P, real_P)])
            means = [each / max(pairs, 1.0) for each in sums]
        losses_P = LOSSES[settings.loss_type](u_P, v_P, settings, *means)
        if settings.sft_loss_ratio:
            losses_P = losses_P - settings.sft_loss_ratio * chosen.log_p / chosen.tokens
        return losses_P

    def rewards(self, side: Side):
        """[P]"""
        return self.settings.beta * self._log_ratios(side)

    def _log_ratios(self, side: Side):
        ratios_P = side.log_p - side.reference
        return ratios_P / side.tokens if self.settings.normalize_logps else ratios_P

    def training_metrics(self, sums: dict[str, float]) -> dict[str, float]:
        return pair_metrics(sums, self.has_reference)

    def columns(self, outputs_MC, inputs):
        chosen, rejected = self.sides(outputs_MC, inputs)
        real_P = (inputs["pair_weights"] > 0).astype("float64")
        columns = (self.losses(chosen, rejected, real_P), *chosen, *rejected)
        return [column_P.numpy()[real_P.numpy() > 0] for column_P in columns]

    def metrics(self, *columns: np.ndarray):
        chosen, rejected = Side(*columns[:3]), Side(*columns[3:])
        real = np.ones(len(chosen.log_p))
        sums = sums_of(chosen, rejected, (self.rewards(chosen), self.rewards(rejected)), real)
        found = pair_metrics(sums, self.has_reference) | {"pairs": len(real)}
        if KINDS[self.settings.loss_type].over_batch:  # no batch had all pairs
            tensors = [Side(*map(paddle.to_tensor, side)) for side in (chosen, rejected)]
            found["loss"] = float(self.losses(*tensors, paddle.to_tensor(real)).mean())
        return found
