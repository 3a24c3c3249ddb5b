"""PaddleNLP's Trainer with exact normalisation, whole checkpoints and logs that survive a restart.

The Trainer of the library averages a loss over micro-batches and ranks, saves into place, and forgets at a restart
what it had summed up since the last log. Subclasses say what a batch's summed loss is (`summed_loss`) and what the
statistics beside it are called.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

import numpy as np
import paddle
import paddle.distributed as dist
from paddlenlp.trainer import PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainerState

from llm.core import checkpoints
from llm.core.progress import Progress
from llm.core.step_loader import StepLoader

RUNNING = "running_sums.json"


class SaveError(Exception):
    """A checkpoint or the model could not be written; what was there before is untouched."""


class ExactTrainer(Trainer):
    """A loss is a sum over scored positions divided by their weight in the whole optimiser step, over all ranks and
    micro-batches. `batch_sums` of a subclass returns (summed loss, vector of `sum_names` statistics)."""

    sum_names: tuple[str, ...] = ()

    def __init__(self, *, collate, identity: dict, steps: int, steps_per_pass: int | None, **kwargs):
        super().__init__(**kwargs)
        for callback in (ProgressCallback, PrinterCallback):
            self.remove_callback(callback)
        self.add_callback(Progress(self.args.disable_tqdm))
        self.add_callback(BeforeUpdate(self))
        self.collate = collate
        self.identity = identity
        self.steps = steps
        self.steps_per_pass = steps_per_pass  # None for a stream, which has no order to vary
        self.first_pass = 0
        self.gradient_norm = None
        self._sums = np.zeros(2 + len(self.sum_names))  # since the last log: normalised loss, steps, statistics
        self._pending = []  # the same, of batches whose values are still on the device
        self._total = np.zeros_like(self._sums)  # since the first step, over restarts
        self._clock = time.perf_counter()
        self._seconds = 0.0  # of training up to the last log, over restarts, without evaluation and saving
        self.learning_rate_used = None

    # ---- data

    def get_train_dataloader(self):
        return self._loader(
            self.train_dataset,
            batch_size=self.args.per_device_train_batch_size,
            accumulation=self.args.gradient_accumulation_steps,
            seed=self.args.seed if self.steps_per_pass else None,
            first_pass=self.first_pass,
        )

    def _loader(self, rows, **settings) -> StepLoader:
        return StepLoader(
            rows,
            self.collate,
            ranks=max(self.args.dataset_world_size, 1),
            rank=self.args.dataset_rank,
            **settings,
        )

    # ---- a step

    def batch_sums(self, model, inputs):
        raise NotImplementedError(f"{type(self).__name__} must say what a batch's loss and statistics are")

    def compute_loss(self, model, inputs, return_outputs=False):
        """The batch's share of the step's mean loss, times the factors by which Paddle will divide it again: it
        averages gradients over the ranks that have data of their own, and the loss over the micro-batches."""
        summed, statistics = self.batch_sums(model, inputs)
        share = summed / inputs["step_weight"].clip(min=1e-12)
        self._pending.append(paddle.concat([share.detach().reshape([1]).astype("float64"), statistics]))
        return share * (max(self.args.dataset_world_size, 1) * self.args.gradient_accumulation_steps)

    def _collect(self) -> None:
        """Add what this rank's batches left on the device to its sums."""
        if self._pending:
            values = paddle.stack(self._pending).sum(axis=0).numpy()
            self._sums[0] += values[0]
            self._sums[2:] += values[1:]
            self._pending = []

    def _over_ranks(self, sums: np.ndarray) -> np.ndarray:
        """Sums over the ranks with data of their own; the number of steps is the same on all of them."""
        if self.args.world_size <= 1:
            return sums.copy()
        total = paddle.to_tensor(sums, dtype="float64")
        dist.all_reduce(total)
        total = total.numpy() / (self.args.world_size // max(self.args.dataset_world_size, 1))
        total[1] = sums[1]
        return total

    # ---- logs

    def training_metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Ratios of the statistics, for a line of the log."""
        return sums

    def log(self, logs: dict, **kwargs) -> None:
        if "train_runtime" in logs:
            return  # the library's summary, which counts from the last restart
        if "loss" in logs:
            logs = self._training_log()
        if self.state.epoch is not None:
            logs["epoch"] = round(self.state.epoch, 4)
        self.state.log_history.append({"step": self.state.global_step, **logs})
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs, **kwargs)

    @contextlib.contextmanager
    def clock_stopped(self):
        """What is done inside does not count for the speed of training."""
        begin = time.perf_counter()
        yield
        self._clock += time.perf_counter() - begin

    def _training_log(self) -> dict:
        self._collect()
        sums = self._over_ranks(self._sums)
        self._total += sums
        seconds = max(time.perf_counter() - self._clock, 1e-9)
        self._seconds += seconds
        statistics = dict(zip(self.sum_names, sums[2:], strict=True))
        logs = {"loss": float(sums[0] / sums[1]), **self.training_metrics(statistics)}
        logs["learning_rate"] = self.learning_rate_used
        if self.gradient_norm is not None:
            logs["gradient_norm"] = self.gradient_norm
        for name in ("tokens", "solutions"):
            logs[f"{name}_per_second"] = float(statistics[name] / seconds)
        self._sums[:] = 0
        self._clock = time.perf_counter()
        return logs

    def train_totals(self) -> dict[str, float]:
        """The whole run, restarts included."""
        statistics = dict(zip(self.sum_names, self._total[2:].tolist(), strict=True))
        return {
            "loss": float(self._total[0] / max(self._total[1], 1)),
            **self.training_metrics(statistics),
            "steps": int(self._total[1]),
            "tokens": int(statistics["tokens"]),
            "solutions": int(statistics["solutions"]),
            "seconds": self._seconds,
            "tokens_per_second": statistics["tokens"] / max(self._seconds, 1e-9),
        }

    # ---- checkpoints

    def train(self, resume_from_checkpoint: str | None = None, **kwargs):
        if resume_from_checkpoint:
            state = TrainerState.load_from_json(str(Path(resume_from_checkpoint) / "trainer_state.json"))
            if state.global_step >= self.steps:
                return self._take_up_finished(state, resume_from_checkpoint)
            self.first_pass = state.global_step // self.steps_per_pass if self.steps_per_pass else 0
        self._clock = time.perf_counter()
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _take_up_finished(self, state: TrainerState, checkpoint: str) -> None:
        """The library would train one step more before it looked at max_steps."""
        self.state = state
        self._load_running_sums(checkpoint)
        best = state.best_model_checkpoint if self.args.load_best_model_at_end else None
        self._load_from_checkpoint(best or checkpoint)

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._load_running_sums(checkpoint)

    def _load_running_sums(self, checkpoint: str) -> None:
        saved = checkpoints.read_json(Path(checkpoint) / RUNNING)
        self._total = np.array(saved["total"])
        self._seconds = saved["seconds"]
        self._sums = np.array(saved["since_last_log"])
        if self.args.dataset_rank > 0:  # the sums over all ranks: the first one carries them on
            steps = self._sums[1]
            self._sums[:] = 0
            self._sums[1] = steps

    def _save_checkpoint(self, model, metrics=None):
        best_by = (self.args.metric_for_best_model or "loss").removeprefix("eval_")
        if metrics is not None and metrics.get(f"eval_{best_by}") is None:
            metrics = None  # undefined for this data, so no candidate for the best
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        if self.is_world_process_zero() and folder.exists():
            shutil.rmtree(folder)  # the half-written one of a killed run
        self._wait_for_ranks()
        self._collect()
        since_last_log = self._over_ranks(self._sums).tolist()
        running = {"total": self._total.tolist(), "since_last_log": since_last_log, "seconds": self._seconds}
        try:
            with self.clock_stopped():
                super()._save_checkpoint(model, metrics)
            self._wait_for_ranks()
            if self.is_world_process_zero():
                checkpoints.write_json(folder / RUNNING, running)
                checkpoints.write_json(folder / checkpoints.IDENTITY, self.identity)
                checkpoints.mark_complete(folder)
                best = self.state.best_model_checkpoint
                checkpoints.delete_old(folder.parent, self.args.save_total_limit, best)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise SaveError(_why_not_saved(folder, error)) from error
        self._wait_for_ranks()

    def _rotate_checkpoints(self, use_mtime=False, output_dir=None) -> None:
        """Old checkpoints are deleted in _save_checkpoint, once the new one is known to be whole; the library would
        do it before."""

    def save_final_model(self) -> None:
        """Model and tokenizer into output_dir, each file all or nothing."""
        output_dir = Path(self.args.output_dir)
        unfinished = output_dir / "unfinished-model"
        if self.is_world_process_zero():
            shutil.rmtree(unfinished, ignore_errors=True)
        self._wait_for_ranks()
        try:
            self.save_model(str(unfinished))
            self._wait_for_ranks()
            if self.is_world_process_zero():
                checkpoints.replace_model(unfinished, output_dir)
        except Exception as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise SaveError(_why_not_saved(output_dir, error)) from error

    def _wait_for_ranks(self) -> None:
        if self.args.world_size > 1:
            dist.barrier()


class BeforeUpdate(TrainerCallback):
    """What a line of the log says about an update: its learning rate, and the norm of its gradient before clipping
    (taken only for updates that will be logged)."""

    def __init__(self, trainer: ExactTrainer):
        self.trainer = trainer

    def on_optimizer_begin(self, args, state, control, **kwargs):
        self.trainer._sums[1] += 1
        self.trainer.learning_rate_used = float(self.trainer._get_learning_rate())
        step = state.global_step + 1
        due = step % args.logging_steps == 0 or (step == 1 and args.logging_first_step) or step == state.max_steps
        if not due or len(args.sharding) > 0 or args.tensor_parallel_degree > 1:
            return  # with sharded gradients no rank holds all of them
        gradients = [parameter.grad for parameter in self.trainer.model.parameters() if parameter.grad is not None]
        squares = [g.astype("float32").square().sum() for g in gradients]
        self.trainer.gradient_norm = float(paddle.stack(squares).sum().sqrt())

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step >= state.max_steps:
            control.should_log = True  # so that no step is left out of the totals
        return control


def _why_not_saved(folder: Path, error: Exception) -> str:
    return (
        f"{folder} could not be written ({type(error).__name__}: {error}). What was half-written has been removed; "
        "earlier checkpoints are untouched. Make room (or make the folder writable) and start the same command again: "
        "it resumes from the last whole checkpoint."
    )
