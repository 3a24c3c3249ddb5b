"""What a policy learns from pairs of answers.

Legend: M tokens of A answers, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle

from llm.alignment.dpo.dpo_metrics import SUMS, Side, pair_metrics, sums_of
from llm.alignment.dpo.loss_kinds import KINDS
from llm.alignment.dpo.losses import LOSSES
from llm.alignment.dpo.policy_objective import PolicyObjective
from llm.core.parallel.ranks import sum_over_ranks


class PairObjective(PolicyObjective):
    statistics = (*SUMS, "tokens", "solutions")

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
        """[P] of the chosen and of the rejected answers."""
        answers = self.answers(outputs_MC, inputs)
        chosen, rejected = ([column_A.gather(inputs[name]) for column_A in answers] for name in ("chosen", "rejected"))
        return Side(*chosen), Side(*rejected)

    def losses(self, chosen: Side, rejected: Side, real_P, over_ranks: Callable[[list], list] = list):
        """[P]; `over_ranks` adds numbers of this batch to those of the batches that are learnt with it."""
        settings, u_P, v_P = self.settings, self.log_ratios(chosen), self.log_ratios(rejected)
        means = []
        if KINDS[settings.loss_type].over_batch:
            *sums, pairs = over_ranks([float((column_P * real_P).sum()) for column_P in (u_P, v_P, real_P)])
            means = [each / max(pairs, 1.0) for each in sums]
        losses_P = LOSSES[settings.loss_type](u_P, v_P, settings, *means)
        if settings.sft_loss_ratio:
            losses_P = losses_P - settings.sft_loss_ratio * chosen.log_p / chosen.tokens
        return losses_P

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
