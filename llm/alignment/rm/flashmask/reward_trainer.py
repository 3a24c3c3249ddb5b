"""Training and evaluation of reward models: loss and metrics at the scored positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
from paddlenlp.trainer.integrations import VisualDLCallback

from llm.alignment.rm.flashmask.reward_argument import TrainingArguments
from llm.alignment.rm.flashmask.reward_metrics import Metrics, outcome_metrics, preference_metrics, step_metrics
from llm.alignment.rm.flashmask.reward_model import at_scored
from llm.core.files import write_json
from llm.core.model import pipeline
from llm.core.model.losses import pair_loss, reward_cross_entropy, reward_scores, rewards, vocabulary_cross_entropy
from llm.core.parallel.ranks import from_all_ranks
from llm.core.records.records import PREFERENCES
from llm.core.train.exact_trainer import ExactTrainer

MODEL_INPUTS = ("input_ids", "position_ids", "end_row", "scored")


class RewardTrainer(ExactTrainer):
    """What labels and pairs have in common: an evaluation over everything that was judged, on all ranks. Subclasses say
    what a batch's `columns` are, an entry for each label or pair, and what `metrics` these have."""

    def __init__(self, *, reward: TrainingArguments, **kwargs):
        self.reward = reward
        super().__init__(nan_policy=reward.nan_policy, **kwargs)

    def columns(self, logits_K2, inputs) -> list[np.ndarray]:
        raise NotImplementedError(f"{type(self).__name__} must say what of a batch is judged")

    def metrics(self, *columns: np.ndarray) -> Metrics:
        raise NotImplementedError(f"{type(self).__name__} must say what is measured")

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict:
        """Exact metrics over the whole evaluation set, whatever the batches and ranks: every score is gathered before
        anything is averaged. The loss knows no weights, smoothing or margins, so that runs with others compare."""
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        with self.clock_stopped():
            losses, *columns = self._gathered(self._judge(rows))
        metrics = {"loss": float(losses.mean()), **self.metrics(*columns)}
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        self._reopen_curves()
        self.log({name: value for name, value in metrics.items() if value is not None})
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _reopen_curves(self) -> None:
        """The library closes its VisualDL writer with the training, before the last evaluation."""
        for callback in self._curves():
            if callback.vdl_writer is None and self.is_world_process_zero():
                callback._init_summary_writer(self.args)

    def close_curves(self) -> None:
        for callback in self._curves():
            if callback.vdl_writer is not None:
                callback.vdl_writer.close()

    def _curves(self) -> list[VisualDLCallback]:
        return [callback for callback in self.callback_handler.callbacks if isinstance(callback, VisualDLCallback)]

    def logits(self, model, inputs):
        return model(**{name: inputs[name] for name in MODEL_INPUTS})

    def logits_of_hidden(self, hidden, inputs):
        return self.model.score(at_scored(hidden, inputs["scored"]))

    def _judge(self, rows) -> list[np.ndarray] | None:
        """The columns of this rank's batches, solutions numbered through all ranks; None but in the last stage."""
        self.model.eval()
        parts, first_solution = [], self.args.dataset_rank << 40  # numbers that no other rank has
        with paddle.no_grad(), self.autocast_smart_context_manager():
            for logits, inputs in self._logits_of(rows):
                inputs["solutions"] += first_solution
                first_solution += int(inputs["solution_count"])
                if logits is not None:
                    parts.append(self.columns(logits, inputs))
        self.model.train()
        return [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else None

    def _logits_of(self, rows):
        """(logits, inputs) of every batch; no logits but in the last stage of a pipeline."""
        batch_size = self.args.per_device_eval_batch_size
        if not self.in_stages:
            for inputs in self.loader(rows, batch_size=batch_size):
                yield self.logits(self.model, inputs), inputs
            return
        wrapped = pipeline.wrap(self.model) if self.model_wrapped is self.model else self.model_wrapped
        batches = self.loader(rows, batch_size=batch_size, accumulation=wrapped.accumulate_steps)
        for hidden, inputs in pipeline.evaluate(wrapped, batches):
            yield hidden if hidden is None else self.logits_of_hidden(hidden, inputs), inputs

    def _gathered(self, mine: list[np.ndarray] | None) -> list[np.ndarray]:
        """Of all ranks; those that share their data by tensor parallelism count once."""
        everyone = from_all_ranks((self.args.dataset_rank, mine))
        of_rank = {rank: columns for rank, columns in everyone if columns is not None}
        return [np.concatenate(column) for column in zip(*(of_rank[r] for r in sorted(of_rank)), strict=True)]

    def write_results(self, name: str, values: dict) -> None:
        if self.is_world_process_zero():
            write_json(Path(self.args.output_dir) / f"{name}_results.json", values)


class LabelTrainer(RewardTrainer):
    """Learns from labels: of every step, or (`process_reward` false) of whole answers. Every label counts for the loss
    and the metrics, also where several share a position; one is "+" if it is above 0.5."""

    sum_names = ("hits", "labels", "positive_hits", "positive", "tokens", "solutions")

    def batch_sums(self, logits, inputs):
        logits_M2 = logits.gather(inputs["label_at"])
        over_vocabulary = self.reward.prm_loss == "vocabulary"
        cross_entropy = vocabulary_cross_entropy if over_vocabulary else reward_cross_entropy
        loss = (inputs["weights"] * cross_entropy(logits_M2, inputs["targets"])).sum()
        with paddle.no_grad():
            real_M = inputs["weights"] > 0
            right_M = inputs["labels"] > 0.5  # what is not real is 0
            hit_M = ((logits_M2[:, 0] > logits_M2[:, 1]) == right_M) & real_M
            sums = [hit_M.sum(), real_M.sum(), (hit_M & right_M).sum(), right_M.sum()]
            return loss, _as_vector(*sums, inputs["tokens"], inputs["solution_count"])

    def training_metrics(self, sums: dict[str, float]) -> dict[str, float]:
        negative = sums["labels"] - sums["positive"]
        shares = {
            "accuracy": (sums["hits"], sums["labels"]),
            "accuracy_positive": (sums["positive_hits"], sums["positive"]),
            "accuracy_negative": (sums["hits"] - sums["positive_hits"], negative),
        }
        return {name: float(hits / count) for name, (hits, count) in shares.items() if count}

    def columns(self, logits_K2, inputs):
        logits_M2, labels_M = logits_K2.gather(inputs["label_at"]), inputs["labels"]
        columns = [reward_cross_entropy(logits_M2, labels_M), reward_scores(logits_M2), labels_M, inputs["solutions"]]
        real_M = inputs["weights"].numpy() > 0
        return [column.numpy()[real_M] for column in columns]

    def metrics(self, scores, labels, solutions):
        return (
            step_metrics(scores, labels, solutions) if self.reward.process_reward else outcome_metrics(scores, labels)
        )


class PairTrainer(RewardTrainer):
    """Learns from preferences: the chosen answer's reward should be the larger one."""

    sum_names = ("hits", "ties", "pairs", "chosen", "rejected", "tokens", "solutions")

    def batch_sums(self, logits, inputs):
        chosen_P, rejected_P = self._rewards(logits, inputs)
        losses_P = pair_loss(chosen_P, rejected_P, inputs["margins"], self.reward.reward_centering)
        loss = (inputs["pair_weights"] * losses_P).sum()
        with paddle.no_grad():
            real_P = inputs["pair_weights"] > 0
            ties_P = (chosen_P == rejected_P) & real_P
            sums = [((chosen_P > rejected_P) & real_P).sum(), ties_P.sum(), real_P.sum()]
            sums += [(reward_P * real_P.astype("float32")).sum() for reward_P in (chosen_P, rejected_P)]
            return loss, _as_vector(*sums, inputs["tokens"], inputs["solution_count"])

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


def trainer_for(form: str) -> type[RewardTrainer]:
    return PairTrainer if form == PREFERENCES else LabelTrainer


def _as_vector(*values):
    return paddle.stack([value.astype("float64").reshape([]) for value in values])
