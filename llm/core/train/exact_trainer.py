"""PaddleNLP's Trainer with exact normalisation, one gradient norm in every layout, and updates that all ranks agree on.

The Trainer of the library averages a loss over micro-batches and ranks. Here an update's loss is a sum over what is
scored divided by its weight in the whole update. Subclasses say what a batch's `logits` are, and its `batch_sums`.
"""

from __future__ import annotations

import signal
import time

import numpy as np
import paddle
import paddle.distributed as dist
from paddle.distributed.fleet.meta_optimizers.dygraph_optimizer import HybridParallelOptimizer
from paddlenlp.trainer import PrinterCallback, ProgressCallback, TrainerCallback

from llm.core.console import listed
from llm.core.model import pipeline
from llm.core.parallel import stage3
from llm.core.parallel.ranks import from_all_ranks
from llm.core.rows.update_loader import StepLoader
from llm.core.train.gradient_clip import ExactClip, UpdateSkipped
from llm.core.train.progress import Progress
from llm.core.train.resumable_trainer import CheckpointTrainer

OF_ALL_RANKS = ("steps", "skipped_updates")  # counted by every rank alike
SHOWN_RECORDS = 20


class Diverged(ValueError):
    """A loss or a gradient is no number, and nan_policy is stop."""


class ExactTrainer(CheckpointTrainer):
    """`batch_sums` of a subclass returns (summed loss, vector of `sum_names` statistics) from `logits`."""

    sum_names: tuple[str, ...] = ()

    def __init__(self, *, collate, keeps_checkpoints: bool, **kwargs):
        self.names = (*OF_ALL_RANKS, "loss", *self.sum_names)
        super().__init__(sum_count=len(self.names), **kwargs)
        for callback in (ProgressCallback, PrinterCallback):
            self.remove_callback(callback)
        self.add_callback(Progress(self.args.disable_tqdm))
        self.add_callback(Update(self))
        self.collate = collate
        self.keeps_checkpoints = keeps_checkpoints
        self.stop_signalled = False  # this rank was told to
        self.stop_asked = False  # one of the ranks was, and all know it
        self.gradient_norm = None
        self.learning_rate_used = None
        self._of_update: list[paddle.Tensor] = []  # (share of the loss, statistics) of this rank's micro-batches
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

    def logits(self, model, inputs):
        raise NotImplementedError(f"{type(self).__name__} must say what a batch's logits are")

    def batch_sums(self, logits, inputs):
        raise NotImplementedError(f"{type(self).__name__} must say what a batch's loss and statistics are")

    def logits_of_hidden(self, hidden_BSE, inputs):
        raise NotImplementedError(f"{type(self).__name__} must say what the last stage makes of its hidden states")

    def compute_loss(self, model, inputs, return_outputs=False):
        return self._share_of_update(self.logits(model, inputs), inputs)

    def _share_in_stages(self, hidden_BSE, inputs):
        return self._share_of_update(self.logits_of_hidden(hidden_BSE, inputs), inputs)

    def _share_of_update(self, logits, inputs):
        """The batch's share of the update's mean loss, times the factors by which Paddle will divide it again: it
        averages gradients over the ranks that have data of their own, and the loss over the micro-batches."""
        summed, statistics = self.batch_sums(logits, inputs)
        share = summed / inputs["step_weight"].clip(min=1e-12)
        self._of_update.append(paddle.concat([share.detach().reshape([1]).astype("float64"), statistics]))
        return share * (max(self.args.dataset_world_size, 1) * self.args.gradient_accumulation_steps)

    def create_optimizer(self, lr_scheduler=None):
        optimizer = super().create_optimizer(lr_scheduler)
        shared = [p for p in self.model.parameters() if not getattr(p, "is_firstly_shared", True)]
        self._counted_elsewhere = {parameter.name for parameter in shared}  # slices keep the name
        optimizer._grad_clip = ExactClip(self.args.max_grad_norm, self._copies, self._settle)
        # beside adapters: stage1 would make and send gradients of zeros for weights that do not train
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
        with stage3.sliced(model):
            wrapped = super()._wrap_model(model, training)
        if training and self.optimizer is not None:
            self._let_updates_be_skipped()
        return wrapped

    def _let_updates_be_skipped(self) -> None:
        name = "_step" if isinstance(self.optimizer, HybridParallelOptimizer) else "step"
        update = getattr(self.optimizer, name)

        def update_or_skip(*args, **kwargs):
            try:
                update(*args, **kwargs)
            except UpdateSkipped as reason:
                if self.is_world_process_zero():
                    print(reason, flush=True)

        setattr(self.optimizer, name, update_or_skip)

    def _settle(self, squares: float) -> float:
        """The norm over all ranks, which with it agree whether the update can be made, and whether to stop after it."""
        batches = [batch.numpy() for batch in self._of_update]
        self._of_update = []
        loss = sum(batch[0] for batch in batches)
        squares, loss, stops = self._sum_over_ranks(np.array([squares, loss, float(self.stop_signalled)]))
        self.stop_asked = stops > 0
        if not np.isfinite(squares + loss):
            self._leave_out(batches, "gradient" if np.isfinite(loss) else "loss")
        self.sums[0] += 1
        self.sums[len(OF_ALL_RANKS) :] += sum(batches, np.zeros(len(self.names) - len(OF_ALL_RANKS)))
        self.gradient_norm = float(np.sqrt(squares))
        return self.gradient_norm

    def _check_loss_valid(self, loss) -> None:
        """The library would stop at its own sum of this rank alone; the ranks agree in _settle."""

    def _leave_out(self, batches: list[np.ndarray], what: str) -> None:
        """Says which records the update was of: those of the micro-batches whose loss is no number, or all."""
        mine = [(number, self.args.dataset_rank) for number, batch in enumerate(batches) if not np.isfinite(batch[0])]
        records = self.train_loader.records_of(sum(from_all_ranks(mine), []))
        told = f"update {self.state.global_step + 1}: its {what} is no number. Its records: "
        told += f"{listed(records, SHOWN_RECORDS)}."
        if self.args.nan_policy == "stop":
            raise Diverged(
                f"{told} nan_policy is stop, and no weight was changed by it. Look at the records; lower learning_rate "
                "if the loss rose before; or write nan_policy skip to leave such updates out and count them. The same "
                "command goes on from the last checkpoint."
            )
        self.sums[1] += 1
        self.gradient_norm = None
        raise UpdateSkipped(f"{told} It is left out (nan_policy is skip).")

    # ---- over all ranks

    def _sum_over_ranks(self, values: np.ndarray) -> np.ndarray:
        if self.args.world_size <= 1:
            return values
        total = paddle.to_tensor(values, dtype="float64")
        dist.all_reduce(total)
        return total.numpy()

    def over_ranks(self, sums: np.ndarray) -> np.ndarray:
        """The ranks that share their data by tensor parallelism have the same sums; those of a pipeline have none but
        in its last stage."""
        total = self._sum_over_ranks(sums) / max(self.args.tensor_parallel_degree, 1)
        total[: len(OF_ALL_RANKS)] = sums[: len(OF_ALL_RANKS)]
        return total

    def share_of_rank(self, sums: np.ndarray) -> np.ndarray:
        """Of sums over all ranks what this one carries on, so that `over_ranks` makes them again."""
        carries = self.args.dataset_rank == 0 and self.args.pipeline_parallel_rank == 0
        mine = sums if carries else np.zeros_like(sums)
        mine[: len(OF_ALL_RANKS)] = sums[: len(OF_ALL_RANKS)]
        return mine

    # ---- stopping

    def _save_checkpoint(self, model, metrics=None):
        if self._has_learnt():
            super()._save_checkpoint(model, metrics)

    def _has_learnt(self) -> bool:
        """Before its first update, as all may have been skipped, the optimiser has no state that could be loaded."""
        return bool(self.total[0] + self.sums[0])

    def train(self, resume_from_checkpoint: str | None = None, **kwargs):
        """A SIGTERM lets the update at hand end, saves a checkpoint and ends the training."""

        def note(number, frame):
            self.stop_signalled = True

        before = signal.signal(signal.SIGTERM, note)
        signal.siginterrupt(signal.SIGTERM, False)  # what waits for another rank goes on waiting
        self.wait_for_ranks()  # reading data takes some longer than gloo's patience of 30 seconds
        try:
            return super().train(resume_from_checkpoint, **kwargs)
        finally:
            signal.signal(signal.SIGTERM, before)

    def where_stopped(self) -> str:
        step, kept = self.state.global_step, "nothing is kept"
        if self.keeps_checkpoints and self._has_learnt():
            kept = f"checkpoint-{step} is saved, and the same command goes on from it"
        return f"stopped by SIGTERM after update {step} of {self.state.max_steps}: {kept}"

    # ---- logs

    def training_metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Ratios of the statistics, for a line of the log."""
        raise NotImplementedError(f"{type(self).__name__} must say what a line of the log says of its statistics")

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
        sums = self.over_ranks(self.sums)
        self.total += sums
        seconds = max(time.perf_counter() - self.clock, 1e-9)
        self.seconds += seconds
        named = dict(zip(self.names, sums.tolist(), strict=True))
        logs = self._means(named) | {"learning_rate": self.learning_rate_used}
        if self.gradient_norm is not None:
            logs["gradient_norm"] = self.gradient_norm
        for name in ("tokens", "solutions"):
            logs[f"{name}_per_second"] = named[name] / seconds
        if skipped := self.total[self.names.index("skipped_updates")]:
            logs["skipped_updates"] = int(skipped)
        self.sums[:] = 0
        self.clock = time.perf_counter()
        return logs

    def _means(self, sums: dict[str, float]) -> dict[str, float]:
        loss = {"loss": sums["loss"] / sums["steps"]} if sums["steps"] else {}  # all may have been skipped
        return loss | self.training_metrics(sums)

    def train_totals(self) -> dict[str, float]:
        """The whole run, restarts included."""
        sums = dict(zip(self.names, self.total.tolist(), strict=True))
        counts = {name: int(sums[name]) for name in ("steps", "skipped_updates", "tokens", "solutions")}
        if not counts["skipped_updates"]:
            del counts["skipped_updates"]
        speed = {"seconds": self.seconds, "tokens_per_second": sums["tokens"] / max(self.seconds, 1e-9)}
        return self._means(sums) | counts | speed


class Update(TrainerCallback):
    """The learning rate of an update, and what the ranks have agreed on after it."""

    def __init__(self, trainer: ExactTrainer):
        self.trainer = trainer

    def on_optimizer_begin(self, args, state, control, **kwargs):
        self.trainer.learning_rate_used = float(self.trainer._get_learning_rate())

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step >= state.max_steps:
            control.should_log = True  # so that no step is left out of the totals
        if self.trainer.stop_asked:
            control.should_training_stop = True
            control.should_save = self.trainer.keeps_checkpoints
            args.load_best_model_at_end = False  # the run is not at its end
        return control

    def on_epoch_end(self, args, state, control, **kwargs):
        """Where a pass is left in the middle, nothing is due."""
        steps = self.trainer.steps_per_pass
        if self.trainer.stop_asked and (steps is None or state.global_step % steps):
            control.should_evaluate = control.should_save = False
        return control
