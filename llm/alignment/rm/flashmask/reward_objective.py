"""What a reward model learns: loss, statistics and metrics at the scored positions."""

from __future__ import annotations

from dataclasses import dataclass

import paddle
import paddle.nn.functional as F

from llm.alignment.rm.flashmask.reward_argument import TrainingArguments
from llm.alignment.rm.flashmask.reward_metrics import (
    interval_metrics,
    outcome_metrics,
    preference_metrics,
    step_metrics,
)
from llm.core.model.forward import at_scored
from llm.core.model.head.head_kinds import LEVELS, QUANTILE
from llm.core.model.head.losses import (
    pair_loss,
    pinball_loss,
    ranking_loss,
    reward_cross_entropy,
    reward_scores,
    rewards,
    vocabulary_cross_entropy,
)
from llm.core.records.reward_records import PREFERENCES

MODEL_INPUTS = ("input_ids", "position_ids", "end_row", "scored")


class RewardObjective:
    """What labels and pairs have in common: outputs [K, C] of the scored positions, two logits but for quantiles."""

    def outputs(self, model, inputs):
        return model(**{name: inputs[name] for name in MODEL_INPUTS})

    def outputs_of_hidden(self, model, hidden, inputs):
        return model.reward_logits(at_scored(hidden, inputs["scored"]))


@dataclass(frozen=True)
class LabelObjective(RewardObjective):
    """Learns from labels: of every step, or (`process_reward` false) of whole answers. Every label counts for the loss
    and the metrics, also where several share a position; one is "+" if it is above 0.5."""

    process_reward: bool
    prm_loss: str
    pqm_margin: float
    statistics = ("hits", "labels", "positive_hits", "positive", "tokens", "solutions")

    def loss_and_statistics(self, outputs_KC, inputs):
        outputs_MC = outputs_KC.gather(inputs["label_at"])
        loss = (inputs["weights"] * self._losses(outputs_MC, inputs)).sum()
        with paddle.no_grad():
            real_M = inputs["weights"] > 0
            right_M = inputs["labels"] > 0.5  # what is not real is 0
            hit_M = ((self._rewards(outputs_MC) > 0) == right_M) & real_M
            return loss, {
                "hits": hit_M.sum(),
                "labels": real_M.sum(),
                "positive_hits": (hit_M & right_M).sum(),
                "positive": right_M.sum(),
                **counts(inputs),
            }

    def _rewards(self, outputs_MC):
        """[M]: the log-odds of the scores."""
        return rewards(outputs_MC)

    def _losses(self, logits_M2, inputs):
        """[M]"""
        if self.prm_loss == "pqm":
            right_M = inputs["targets"] > 0.5
            return ranking_loss(rewards(logits_M2), right_M, inputs["solutions"], self.pqm_margin)
        cross_entropy = vocabulary_cross_entropy if self.prm_loss == "vocabulary" else reward_cross_entropy
        return cross_entropy(logits_M2, inputs["targets"])

    def training_metrics(self, sums: dict[str, float]) -> dict[str, float]:
        negative = sums["labels"] - sums["positive"]
        shares = {
            "accuracy": (sums["hits"], sums["labels"]),
            "accuracy_positive": (sums["positive_hits"], sums["positive"]),
            "accuracy_negative": (sums["hits"] - sums["positive_hits"], negative),
        }
        return {name: float(hits / count) for name, (hits, count) in shares.items() if count}

    def columns(self, outputs_KC, inputs):
        losses_M, scores_M, *more = self._judged(outputs_KC.gather(inputs["label_at"]), inputs["labels"])
        known = [inputs[name] for name in ("labels", "solutions", "error_cut", "texts")]
        real_M = inputs["weights"].numpy() > 0
        return [column.numpy()[real_M] for column in (losses_M, scores_M, *known, *more)]

    def _judged(self, logits_M2, labels_M) -> list:
        """[M] each: held-out losses, scores, and what else the metrics need."""
        return [reward_cross_entropy(logits_M2, labels_M), reward_scores(logits_M2)]

    def metrics(self, scores, labels, solutions, error_cut, texts):
        if self.process_reward:
            return step_metrics(scores, labels, solutions, error_cut, texts)
        return outcome_metrics(scores, labels, texts)


@dataclass(frozen=True)
class QuantileObjective(LabelObjective):
    """Learns in which interval labels lie. Outputs are [K, 3], the log-odds of rising quantiles; the median is the
    score."""

    def _rewards(self, outputs_M3):
        return outputs_M3[:, LEVELS.index(0.5)]

    def _losses(self, outputs_M3, inputs):
        return pinball_loss(F.sigmoid(outputs_M3), inputs["targets"], LEVELS)

    def _judged(self, outputs_M3, labels_M) -> list:
        quantiles_M3 = F.sigmoid(outputs_M3)
        low_M, median_M, high_M = quantiles_M3.unbind(-1)
        return [pinball_loss(quantiles_M3, labels_M, LEVELS), median_M, low_M, high_M]

    def metrics(self, scores, labels, solutions, error_cut, texts, low, high):
        judged = super().metrics(scores, labels, solutions, error_cut, texts)
        return judged | interval_metrics(low, high, labels)


@dataclass(frozen=True)
class PairObjective(RewardObjective):
    """Learns from preferences: the chosen answer's reward should be the larger one."""

    centering: float
    statistics = ("hits", "ties", "pairs", "chosen", "rejected", "tokens", "solutions")

    def loss_and_statistics(self, logits, inputs):
        chosen_P, rejected_P = self._rewards(logits, inputs)
        losses_P = pair_loss(chosen_P, rejected_P, inputs["margins"], self.centering)
        loss = (inputs["pair_weights"] * losses_P).sum()
        with paddle.no_grad():
            real_P = inputs["pair_weights"] > 0
            ties_P = (chosen_P == rejected_P) & real_P
            return loss, {
                "hits": ((chosen_P > rejected_P) & real_P).sum(),
                "ties": ties_P.sum(),
                "pairs": real_P.sum(),
                "chosen": (chosen_P * real_P.astype("float32")).sum(),
                "rejected": (rejected_P * real_P.astype("float32")).sum(),
                **counts(inputs),
            }

    def training_metrics(self, sums: dict[str, float]) -> dict[str, float]:
        pairs = sums["pairs"]
        if not pairs:
            return {}
        return {
            "accuracy": float(sums["hits"] / pairs),
            "ties": float(sums["ties"] / pairs),
            "margin_mean": float((sums["chosen"] - sums["rejected"]) / pairs),
            "chosen_reward_mean": float(sums["chosen"] / pairs),
            "rejected_reward_mean": float(sums["rejected"] / pairs),
        }

    def columns(self, logits_K2, inputs):
        chosen_P, rejected_P = self._rewards(logits_K2, inputs)
        losses_P = pair_loss(chosen_P, rejected_P, margins_P=paddle.zeros_like(chosen_P), centering=0.0)
        real_P = inputs["pair_weights"].numpy() > 0
        return [column.numpy()[real_P] for column in (losses_P, chosen_P, rejected_P)]

    def metrics(self, chosen, rejected):
        return preference_metrics(chosen, rejected)

    def _rewards(self, logits_K2, inputs):
        """([P] of the chosen answers, [P] of the rejected ones)"""
        rewards_K = rewards(logits_K2)
        return rewards_K.gather(inputs["chosen"]), rewards_K.gather(inputs["rejected"])


def counts(inputs) -> dict:
    return {"tokens": inputs["tokens"], "solutions": inputs["solution_count"]}


def objective_of(form: str, training: TrainingArguments) -> RewardObjective:
    if form == PREFERENCES:
        return PairObjective(training.reward_centering)
    of_labels = QuantileObjective if training.prm_loss == QUANTILE else LabelObjective
    return of_labels(training.process_reward, training.prm_loss, training.pqm_margin)
