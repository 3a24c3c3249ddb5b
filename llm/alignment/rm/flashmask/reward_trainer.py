"""Training and evaluation of reward models: loss and metrics at the scored positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import paddle.distributed as dist
from paddlenlp.trainer.integrations import VisualDLCallback

from llm.core.checkpoints import write_json
from llm.core.losses import reward_cross_entropy, reward_scores
from llm.core.metrics import step_metrics
from llm.core.trainer import ExactTrainer

MODEL_INPUTS = ("input_ids", "position_ids", "end_row", "scored")


class RewardTrainer(ExactTrainer):
    sum_names = ("hits", "labels", "positive_hits", "positive", "tokens", "solutions")

    def batch_sums(self, model, inputs):
        """Every label counts for the metrics, also where several share a position; one is "+" if it is above 0.5."""
        logits_K2 = model(**{name: inputs[name] for name in MODEL_INPUTS})
        loss = (inputs["weights"] * reward_cross_entropy(logits_K2, inputs["targets"])).sum()
        with paddle.no_grad():
            right_M = inputs["labels"] > 0.5
            hit_M = (logits_K2[:, 0] > logits_K2[:, 1]).gather(inputs["label_at"]) == right_M
            sums = [hit_M.sum(), paddle.ones_like(right_M).sum(), (hit_M & right_M).sum(), right_M.sum()]
            counts = [inputs["tokens"], inputs["solution_count"]]
            return loss, paddle.stack([value.astype("float64").reshape([]) for value in (*sums, *counts)])

    def training_metrics(self, sums: dict[str, float]) -> dict[str, float]:
        negative = sums["labels"] - sums["positive"]
        shares = {
            "accuracy": (sums["hits"], sums["labels"]),
            "accuracy_positive": (sums["positive_hits"], sums["positive"]),
            "accuracy_negative": (sums["hits"] - sums["positive_hits"], negative),
        }
        return {name: float(hits / count) for name, (hits, count) in shares.items() if count}

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict:
        """Exact metrics over the whole evaluation set, whatever the batches and ranks: every step's score is
        gathered before anything is averaged."""
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        with self.clock_stopped():
            losses, scores, labels, solutions = self._score(rows)
        metrics = {"loss": float(losses.mean()), **step_metrics(scores, labels, solutions)}
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        self._reopen_curves()
        self.log({name: value for name, value in metrics.items() if value is not None})
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _reopen_curves(self) -> None:
        """The library closes its VisualDL writer with the training, before the last evaluation."""
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, VisualDLCallback) and callback.vdl_writer is None and self.is_world_process_zero():
                callback._init_summary_writer(self.args)

    def _score(self, rows) -> tuple[np.ndarray, ...]:
        """(loss, p("+"), label, solution) of every scored step, over all ranks."""
        self.model.eval()
        parts, first_solution = [], 0
        for inputs in self._loader(rows, batch_size=self.args.per_device_eval_batch_size):
            with paddle.no_grad(), self.autocast_smart_context_manager():
                logits_K2 = self.model(**{name: inputs[name] for name in MODEL_INPUTS})
            logits_M2, labels = logits_K2.gather(inputs["label_at"]), inputs["labels"]
            solutions = inputs["solutions"].numpy() + first_solution
            first_solution += int(inputs["solution_count"])
            columns = reward_cross_entropy(logits_M2, labels), reward_scores(logits_M2), labels
            parts.append([*(column.numpy() for column in columns), solutions])
        self.model.train()
        mine = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return self._gathered(mine)

    def _gathered(self, mine: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        if self.args.world_size <= 1:
            return tuple(mine)
        everyone: list = []
        dist.all_gather_object(everyone, (self.args.dataset_rank, mine))
        of_rank = dict(everyone)  # ranks that share their data by tensor parallelism count once
        first_solution = 0
        for rank in sorted(of_rank):
            solutions = of_rank[rank][3]
            of_rank[rank][3] = solutions + first_solution
            first_solution += int(solutions.max(initial=-1)) + 1
        return tuple(np.concatenate(column) for column in zip(*(of_rank[r] for r in sorted(of_rank)), strict=True))

    def write_results(self, name: str, values: dict) -> None:
        if self.is_world_process_zero():
            write_json(Path(self.args.output_dir) / f"{name}_results.json", values)
