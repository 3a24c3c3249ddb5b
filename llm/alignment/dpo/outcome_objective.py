"""What a policy learns from labels of whole answers: an implicit process reward model.

β log(policy / reference) of an answer is the log-odds that it is right. The same of a step is what it adds to them, so
steps get scores from labels of answers alone. Legend: M tokens of A answers.
"""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F

from llm.alignment.dpo.outcome_metrics import SUMS, outcome_metrics, sums_of
from llm.alignment.dpo.policy_objective import PolicyObjective


class OutcomeObjective(PolicyObjective):
    statistics = (*SUMS, "tokens", "solutions")

    def loss_and_statistics(self, outputs_MC, inputs):
        rewards_A, labels_A, weights_A = self._judged(outputs_MC, inputs)
        loss = (weights_A * log_odds_loss(rewards_A, labels_A)).sum()
        with paddle.no_grad():
            sums = sums_of(rewards_A, labels_A, (weights_A > 0).astype("float64"))
        counts = {"tokens": inputs["tokens"], "solutions": inputs["solution_count"]}
        return loss.astype("float32"), sums | counts

    def training_metrics(self, sums: dict[str, float]) -> dict[str, float]:
        return outcome_metrics(sums)

    def columns(self, outputs_MC, inputs):
        rewards_A, labels_A, weights_A = self._judged(outputs_MC, inputs)
        columns = (log_odds_loss(rewards_A, labels_A), rewards_A, labels_A)
        return [column_A.numpy()[weights_A.numpy() > 0] for column_A in columns]

    def metrics(self, rewards: np.ndarray, labels: np.ndarray):
        return outcome_metrics(sums_of(rewards, labels, np.ones(len(labels)))) | {"answers": len(labels)}

    def _judged(self, outputs_MC, inputs):
        """[A] each: rewards, labels, weights."""
        rewards_A = self.rewards(self.answers(outputs_MC, inputs))
        labels_A, weights_A = (
            inputs[name][: len(rewards_A)].astype("float64") for name in ("labels", "answer_weights")
        )
        return rewards_A, labels_A, weights_A


def log_odds_loss(rewards_A, labels_A):
    """[A]: cross entropy of the label and the probability whose log-odds the reward is."""
    return labels_A * F.softplus(-rewards_A) + (1 - labels_A) * F.softplus(rewards_A)
