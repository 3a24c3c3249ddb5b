"""PaddleNLP's Trainer with exact normalisation, one gradient norm in every layout, and updates that all ranks agree on.

The Trainer of the library averages a loss over micro-batches and ranks. Here an update's loss is a sum over what is
scored divided by its weight in the whole update. What is scored, and how, is the objective's.
"""

from __future__ import annotations

import contextlib

import numpy as np
import paddle
from paddle.distributed.fleet.meta_optimizers.dygraph_optimizer import HybridParallelOptimizer
from paddlenlp.trainer.integrations import TensorBoardCallback, VisualDLCallback
from paddlenlp.trainer.trainer_callback import PrinterCallback, ProgressCallback, TrainerCallback

from llm.core.console import listed
from llm.core.model import pipeline
from llm.core.model.bfloat16_products import note_new_weights
from llm.core.parallel import stage3
from llm.core.parallel.ranks import from_all_ranks, sum_over_ranks
from llm.core.rows.update_loader import StepLoader
from llm.core.train import evaluator, fused_adamw
from llm.core.train.curves import Curves
from llm.core.train.finite import Weights
from llm.core.train.gradient_clip import ExactClip, UpdateSkipped
from llm.core.train.objective import Objective
from llm.core.train.progress import Progress
from llm.core.train.resumable_trainer import ResumableTrainer
from llm.core.train.stop_signals import StopSignals
from llm.core.train.tally import SKIPPED, STEPS

SHOWN_RECORDS = 20


def names_of_sums(objective: Objective) -> tuple[str, ...]:
    """What a line of the log is made of."""
    return ("loss", *objective.statistics)


class ExactTrainer(ResumableTrainer):
    def __init__(self, *, objective: Objective, collate, keeps_checkpoints: bool, nan_policy: str, reports, **kwargs):
        super().__init__(tally_names=names_of_sums(objective), **kwargs)
        self.objective = objective
        self.collate = collate
        self.keeps_checkpoints = keeps_checkpoints
        self.nan_policy = nan_policy
        for callback in (ProgressCallback, PrinterCallback, VisualDLCallback, TensorBoardCallback):
            self.remove_callback(callback)
        self.curves = Curves(reports, self.args.logging_dir)
        for callback in (Progress(not self.args.disable_tqdm), self.curves, Update(self)):
            self.add_callback(callback)
        self.signals = StopSignals()
        self.stopped_by: str | None = None  # the signal that one of the ranks got, once all of them know
        self.weights = Weights(self)
        self.last_evaluation: tuple[int, dict] | None = None  # (update, metrics)
        self.gradient_norm: float | None = None
        self.learning_rate_used: float | None = None
        # of this rank's micro-batches: names of the statistics, and (share of the loss, their sums)
        self._of_update: list[tuple[list[str], paddle.Tensor]] = []
        if self.in_stages:
            pipeline.learn_from(self.model, self._share_in_stages)

    @property
    def in_stages(self) -> bool:
        return self.args.pipeline_parallel_degree > 1

    # ---- data

    def get_train_dataloader(self):
        self.train_loader = self.loader(
            self.train_dataset,
            batch_size=self.args.per_device_train_batch_size,
            accumulation=self.args.gradient_accumulation_steps,
            seed=self.args.seed if self.steps_per_pass else None,
            first_pass=self.first_pass,
        )
        return self.train_loader

    def loader(self, rows, **settings) -> StepLoader:
        return StepLoader(
            rows,
            self.collate,
            ranks=max(self.args.dataset_world_size, 1),
            rank=self.args.dataset_rank,
            same_shapes=self.in_stages,
            **settings,
        )

    # ---- an update

    def compute_loss(self, model, inputs, return_outputs=False):
        return self._share_of_update(self.objective.outputs(model, inputs), inputs)

    def _share_in_stages(self, hidden_BSE, inputs):
        return self._share_of_update(self.objective.outputs_of_hidden(self.model, hidden_BSE, inputs), inputs)

    def _share_of_update(self, outputs, inputs):
        """The batch's share of the update's mean loss, times the factors by which Paddle will divide it again: it
        averages gradients over the ranks that have data of their own, and the loss over the micro-batches."""
        summed, statistics = self.objective.loss_and_statistics(outputs, inputs)
        share = summed / inputs["step_weight"].clip(min=1e-12)
        sums = [value.astype("float64").reshape([]) for value in (share.detach(), *statistics.values())]
        self._of_update.append((["loss", *statistics], paddle.stack(sums)))
        return share * (max(self.args.dataset_world_size, 1) * self.args.gradient_accumulation_steps)

    def create_optimizer(self, lr_scheduler=None):
        optimizer = super().create_optimizer(lr_scheduler)
        shared = [p for p in self.model.parameters() if not getattr(p, "is_firstly_shared", True)]
        self._counted_elsewhere = {parameter.name for parameter in shared}  # slices keep the name
        fused_adamw.fuse(optimizer, ExactClip(self.args.max_grad_norm, self._copies, self._settle))
        # with adapters: stage1 would make and send gradients of zeros for weights that do not train
        optimizer._parameter_list = optimizer._param_groups = [p for p in optimizer._parameter_list if p.trainable]
        return optimizer

    def _copies(self, parameter) -> int:
        """How many ranks hold this gradient; none but one counts a matrix that two stages share."""
        args = self.args
        if parameter.name in self._counted_elsewhere:
            return 0
        copies = max(args.data_parallel_degree, 1)
        if not getattr(parameter, "is_distributed", False):
            copies *= max(args.tensor_parallel_degree, 1)
        return copies * (max(args.sharding_parallel_degree, 1) if stage3.is_whole(parameter) else 1)

    def _wrap_model(self, model, training=True):
        wrapped = super()._wrap_model(model, training)
        if training and self.optimizer is not None:
            self._let_updates_be_skipped()
        return wrapped

    def _let_updates_be_skipped(self) -> None:
        """An update that clipping refuses is left out. An exception is the only way out: PaddleNLP's loop calls the
        optimiser whatever happened, and the gradients that decide are whole only inside it, where Paddle's wrappers
        have reduced them, just before they are clipped. The loop's own way to skip belongs to float16's loss scaling.
        """
        name = "_step" if isinstance(self.optimizer, HybridParallelOptimizer) else "step"
        update = getattr(self.optimizer, name)

        def update_or_skip(*args, **kwargs):
            with contextlib.suppress(UpdateSkipped):
                update(*args, **kwargs)

        setattr(self.optimizer, name, update_or_skip)

    def _settle(self, squares: float) -> float:
        """The norm over all ranks, which with it agree whether the update can be made, and whether to stop after it."""
        batches = [dict(zip(names, sums.tolist(), strict=True)) for names, sums in self._of_update]
        self._of_update = []
        loss = sum(batch["loss"] for batch in batches)
        squares, loss, signals = sum_over_ranks([squares, loss, float(self.signals.name is not None)])
        self._agree_to_stop(signals)
        if not np.isfinite(squares + loss):
            self._leave_out(batches, "gradient" if np.isfinite(loss) else "loss")
        self.tally.count(STEPS)
        for batch in batches:
            self.tally.add(batch)
        self.gradient_norm = float(np.sqrt(squares))
        self.weights.note_update(self.state.global_step + 1, self.train_loader.step_rows)
        return self.gradient_norm

    def _check_loss_valid(self, loss) -> None:
        """The library would stop at its own sum of this rank alone; the ranks agree in _settle."""

    def _leave_out(self, batches: list[dict[str, float]], what: str) -> None:
        """Says which records the update was of: those of the micro-batches whose loss is NaN or infinite, or all."""
        rank = self.args.dataset_rank
        mine = [(number, rank) for number, batch in enumerate(batches) if not np.isfinite(batch["loss"])]
        records = self.train_loader.records_of(sum(from_all_ranks(mine), []))
        shown = f"update {self.state.global_step + 1}: its {what} is NaN or infinite. Its records: "
        self.weights.note_left_out(f"{shown}{listed(records, SHOWN_RECORDS)}.")
        self.gradient_norm = None
        raise UpdateSkipped(shown)

    # ---- evaluation

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict:
        self.weights.check()
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        metrics = evaluator.evaluate(self, rows, metric_key_prefix)
        self.last_evaluation = self.state.global_step, metrics
        self.log(evaluator.defined(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self._stop_if_asked()
        return metrics

    # ---- stopping

    def _save_checkpoint(self, model, metrics=None):
        if self._has_learnt():
            self.weights.check()
            super()._save_checkpoint(model, metrics)
        self._stop_if_asked()

    def _has_learnt(self) -> bool:
        """Before its first update, as all may have been skipped, the optimiser has no state that could be loaded."""
        return self.tally.updates() > 0

    def train(self, resume_from_checkpoint: str | None = None, **kwargs):
        """A signal lets the current update end, saves a checkpoint and ends the training."""
        self.args.disable_tqdm = True  # of the library, which would show its progress in leaving out rows, always 0
        with self.signals.watched():
            self.wait_for_ranks()  # reading data may take longer than the 30 seconds that gloo waits
            return super().train(resume_from_checkpoint, **kwargs)

    def _stop_if_asked(self) -> None:
        """After an evaluation or a save, which take long: without waiting for another update."""
        if not self.stopped_by:
            (signals,) = sum_over_ranks([float(self.signals.name is not None)])
            self._agree_to_stop(signals)
            self.leave_the_loop_if_stopped()

    def _agree_to_stop(self, signals: float) -> None:
        """`signals` is how many ranks got one."""
        if signals:
            self.stopped_by = next(name for name in from_all_ranks(self.signals.name) if name)

    def leave_the_loop_if_stopped(self) -> None:
        if self.stopped_by:
            self.control.should_training_stop = True
            self.control.should_save = self.keeps_checkpoints
            self.args.load_best_model_at_end = False  # the run is not at its end

    def where_stopped(self) -> str:
        step, kept = self.state.global_step, "nothing is kept"
        if self.keeps_checkpoints and self._has_learnt():
            kept = f"checkpoint-{step} is saved, and the same command resumes from it"
        return f"stopped by {self.stopped_by} after update {step} of {self.state.max_steps}: {kept}"

    # ---- logs

    def log(self, logs: dict, **kwargs) -> None:
        if "train_runtime" in logs:
            return  # the library's summary, which counts from the last restart
        if "loss" in logs:
            logs = self._training_log()
        if self.state.epoch is not None and self.steps_per_pass:  # of a stream nobody knows the length
            logs["epoch"] = round(self.state.epoch, 4)
        self.state.log_history.append({"step": self.state.global_step, **logs})
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs, **kwargs)

    def _training_log(self) -> dict:
        sums, seconds = self.tally.close_line()
        logs = self._means(sums) | {"learning_rate": self.learning_rate_used}
        if self.gradient_norm is not None:
            logs["gradient_norm"] = self.gradient_norm
        for name in ("tokens", "solutions"):
            logs[f"{name}_per_second"] = sums[name] / seconds
        if skipped := self.tally.total[SKIPPED]:
            logs[SKIPPED] = int(skipped)
        return logs

    def _means(self, sums: dict[str, float]) -> dict[str, float]:
        loss = {"loss": sums["loss"] / sums[STEPS]} if sums[STEPS] else {}  # all may have been skipped
        return loss | self.objective.training_metrics(sums)

    def train_totals(self) -> dict[str, float]:
        """The whole run, restarts included."""
        sums, seconds = self.tally.total, self.tally.seconds
        counts = {name: int(sums[name]) for name in (STEPS, SKIPPED, "tokens", "solutions")}
        if not counts[SKIPPED]:
            del counts[SKIPPED]
        speed = {"seconds": seconds, "tokens_per_second": sums["tokens"] / max(seconds, 1e-9)}
        return self._means(sums) | counts | speed


class Update(TrainerCallback):
    """The learning rate of an update, and what the ranks have agreed on after it."""

    def __init__(self, trainer: ExactTrainer):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        self.trainer.weights.begin_at(state.global_step)

    def on_optimizer_begin(self, args, state, control, **kwargs):
        self.trainer.learning_rate_used = float(self.trainer._get_learning_rate())

    def on_optimizer_end(self, args, state, control, **kwargs):
        note_new_weights(self.trainer.model)

    def on_step_end(self, args, state, control, **kwargs):
        self.trainer.weights.judge_left_out()
        if state.global_step >= state.max_steps:
            control.should_log = True  # so that no step is left out of the totals
        self.trainer.leave_the_loop_if_stopped()

    def on_epoch_end(self, args, state, control, **kwargs):
        """Where a pass is left in the middle, nothing is due."""
        steps = self.trainer.steps_per_pass
        if self.trainer.stopped_by and (steps is None or state.global_step % steps):
            control.should_evaluate = control.should_save = False
        return control
