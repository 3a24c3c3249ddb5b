"""Exact metrics over a whole data set, whatever the batches and ranks: everything that was judged is gathered before
anything is averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle

from llm.core.checkpoint.checkpoints import step_of
from llm.core.console import UserError
from llm.core.model import pipeline
from llm.core.model.bfloat16_products import note_new_weights
from llm.core.parallel.ranks import from_all_ranks, say
from llm.core.train.progress import line_of

if TYPE_CHECKING:
    from llm.core.train.exact_trainer import ExactTrainer

SOLUTIONS_OF_A_RANK = 1 << 40  # the numbers of its solutions begin at as many times its rank


def evaluate(trainer: ExactTrainer, rows, prefix: str = "eval") -> dict:
    """{name: value}; a value that the data leaves undefined is None."""
    with trainer.tally.clock_stopped():
        losses, *columns = _of_all_ranks(trainer, _judge(trainer, rows))
        if without := int((~np.isfinite(losses)).sum()):
            raise UserError(
                f"of {len(losses):,} held-out scores {without:,} have a NaN or infinite loss: the model's weights are "
                "too large for them, so there is no result. Give another model, or lower learning_rate."
            )
        metrics = {"loss": float(losses.mean()), **trainer.objective.metrics(*columns)}
    return {f"{prefix}_{name}": value for name, value in metrics.items()}


def losses_of(trainer: ExactTrainer, rows) -> np.ndarray:
    """Of all that is judged in these rows, over all ranks."""
    columns = _of_all_ranks(trainer, _judge(trainer, rows))
    return columns[0] if columns else np.zeros(0)


def defined(metrics: dict) -> dict:
    return {name: value for name, value in metrics.items() if value is not None}


def evaluate_at_end(trainer: ExactTrainer) -> dict:
    """Metrics of the model that a run leaves. The log and the curves have an update's evaluation once: one that was
    just made is not repeated, and that of an earlier model, or of a run that had ended before, is only shown."""
    state = trainer.state
    update = model_at_end(trainer)
    if update != state.global_step:
        say(f"the model is the best checkpoint, of update {update}")
    if trainer.last_evaluation is not None and trainer.last_evaluation[0] == update:
        return trainer.last_evaluation[1]
    if not any(line["step"] == update and "eval_loss" in line for line in state.log_history):
        return trainer.evaluate()
    metrics = evaluate(trainer, trainer.eval_dataset)
    say(line_of(defined(metrics), update, state.max_steps))
    return metrics


def evaluate_tests(trainer: ExactTrainer, tests: Mapping[str, Any]) -> dict[str, dict]:
    """Metrics of every test file, of the model that a run leaves."""
    found = {}
    for name, rows in tests.items():
        found[name] = evaluate(trainer, rows, "test")
        shown = ", ".join(
            f"{metric.removeprefix('test_')} {value:.4g}" for metric, value in defined(found[name]).items()
        )
        say(f"test data {name}: {shown}")
    return found


def model_at_end(trainer: ExactTrainer) -> int:
    """The update whose weights the model has."""
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    return step_of(Path(best)) if best else trainer.state.global_step


def _judge(trainer: ExactTrainer, rows) -> list[np.ndarray] | None:
    """The columns of this rank's batches, solutions numbered through all ranks; None but in the last stage."""
    model = trainer.model
    model.eval()
    note_new_weights(model)  # those of the best checkpoint may have been loaded
    parts, first_solution = [], trainer.args.dataset_rank * SOLUTIONS_OF_A_RANK
    with paddle.no_grad(), trainer.autocast_smart_context_manager():
        for outputs, batch in _outputs_of(trainer, rows):
            if "solutions" in batch:
                batch["solutions"] += first_solution
            first_solution += int(batch["solution_count"])
            if outputs is not None:
                parts.append(trainer.objective.columns(outputs, batch))
    model.train()
    return [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else None


def _outputs_of(trainer: ExactTrainer, rows) -> Iterator[tuple[paddle.Tensor | None, dict]]:
    """(outputs, batch) of every batch; no outputs but in the last stage of a pipeline."""
    batch_size, model, objective = trainer.args.per_device_eval_batch_size, trainer.model, trainer.objective
    if not trainer.in_stages:
        for batch in trainer.loader(rows, batch_size=batch_size):
            yield objective.outputs(model, batch), batch
        return
    wrapped = pipeline.wrap(model) if trainer.model_wrapped is model else trainer.model_wrapped
    batches = trainer.loader(rows, batch_size=batch_size, accumulation=wrapped.accumulate_steps)
    for hidden, batch in pipeline.evaluate(wrapped, batches):
        yield hidden if hidden is None else objective.outputs_of_hidden(model, hidden, batch), batch


def _of_all_ranks(trainer: ExactTrainer, mine: list[np.ndarray] | None) -> list[np.ndarray]:
    """Those that share their data by tensor parallelism count once."""
    everyone = from_all_ranks((trainer.args.dataset_rank, mine))
    of_rank = {rank: columns for rank, columns in everyone if columns is not None}
    return [np.concatenate(column) for column in zip(*(of_rank[r] for r in sorted(of_rank)), strict=True)]
