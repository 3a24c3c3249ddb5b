"""Weights that an update has spoilt are found before they are saved or evaluated, and before records are blamed.

Spoilt are weights that are NaN, infinite or beyond `LARGEST`: one pass over the weights shows them, before they are
saved or evaluated. Spoilt are also weights that give rows a NaN or infinite loss whose loss was finite just before:
this is tried with the rows of the last update, when the next one has such a loss or gradient. Neither comes from the
records, whose loss and gradient were finite, but from what the optimiser made of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import paddle
from paddle.distributed.fleet.meta_parallel.sharding.group_sharded_stage3 import GroupShardedStage3

from llm.core.checkpoint import checkpoints
from llm.core.console import UserError, listed
from llm.core.parallel import stage3
from llm.core.parallel.ranks import from_all_ranks
from llm.core.rows.row import Row
from llm.core.train import evaluator
from llm.core.train.tally import SKIPPED

if TYPE_CHECKING:
    from llm.core.train.exact_trainer import ExactTrainer

LARGEST = 65504.0  # what float16 holds; trained weights are far below, and products of larger ones leave float32
FINITE = 3e38
MOST_IN_A_ROW = 10  # of updates that are left out
CAUSES = ("learning_rate", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay", "max_grad_norm")


class Diverged(UserError):
    """A loss, a gradient or weights are NaN or infinite, and the run ends with it."""


class Weights:
    """Of a run that trains: whether they can be used after the updates so far. All ranks see the same."""

    def __init__(self, trainer: ExactTrainer):
        self.trainer = trainer
        self.known_at = 0  # the update after which they were last found to be sound
        self.largest = LARGEST
        self.changed_at: int | None = None  # the last update that was made
        self.rows: list[Row] = []  # of that update; their losses were finite
        self.left_out = 0  # updates since then
        self.suspect: str | None = None  # what is to be said of the one that has just been left out

    def begin_at(self, update: int) -> None:
        """With what a model or a checkpoint holds, which is finite."""
        self.known_at = update
        self.largest = FINITE if spoilt(self.trainer, LARGEST) else LARGEST

    def note_update(self, update: int, rows: list[Row]) -> None:
        self.changed_at, self.rows, self.left_out = update, rows, 0

    def note_left_out(self, shown: str) -> None:
        """Inside the optimiser, where a rank cannot compute anything else."""
        self.left_out += 1
        self.suspect = shown

    def check(self) -> None:
        """Diverged on all ranks where they are spoilt."""
        if self.changed_at is None or self.changed_at == self.known_at:
            return
        with self.trainer.tally.clock_stopped():
            names = spoilt(self.trainer, self.largest)
        if names:
            self._blame(
                f"made weights NaN, infinite or larger than {self.largest:g} ({listed(names)})", self.known_at + 1
            )
        self.known_at = self.changed_at

    def check_end(self) -> None:
        """Of the training."""
        self.check()
        if not self.trainer.tally.updates():
            raise Diverged(
                "every update was left out, so nothing was learnt and no model is saved. Look at the records, which "
                "are named above, and at the model that the run started from."
            )

    def judge_left_out(self) -> None:
        """After the update: the weights were spoilt before it, or it is a matter of its records and of nan_policy."""
        shown, self.suspect = self.suspect, None
        if shown is None:
            return
        self.check()
        self._check_losses()
        if self.trainer.nan_policy == "stop":
            raise Diverged(
                f"{shown} nan_policy is stop, so it changed no weight. Look at the records; lower "
                "learning_rate if the loss rose before; or write nan_policy skip to skip and count such "
                "updates. The same command resumes from the last checkpoint."
            )
        self.trainer.tally.count(SKIPPED)
        if self.trainer.is_world_process_zero():
            print(f"{shown} It is skipped (nan_policy is skip).", flush=True)
        if self.left_out >= MOST_IN_A_ROW:
            raise Diverged(
                f"the last {self.left_out} updates were left out one after the other, so nothing is learnt any more. "
                "Look at their records, which are named above, and at the model that the run started from; or lower "
                "learning_rate. The same command resumes from the last checkpoint."
            )

    def _check_losses(self) -> None:
        if self.changed_at is None:
            return
        with self.trainer.tally.clock_stopped():
            losses = evaluator.losses_of(self.trainer, self.rows)
        if not np.isfinite(losses).all():
            self._blame(
                "made the weights so large that its own records have a NaN or infinite loss now", self.changed_at
            )

    def _blame(self, what: str, first: int) -> NoReturn:
        args, last = self.trainer.args, self.changed_at
        updates = f"update {last}" if first == last else f"one of the updates {first} to {last}"
        causes = ", ".join(f"{name} {getattr(args, name):g}" for name in CAUSES)
        raise Diverged(
            f"{updates} {what}. The records are not the cause: their loss and gradient were finite. It is what the "
            f"optimiser made of them with {causes}. These weights are not saved. Write a lower learning_rate or "
            f"weight_decay or a larger adam_epsilon, and another output_dir.{self._before()}"
        )

    def _before(self) -> str:
        output_dir = Path(self.trainer.args.output_dir)
        whole = [folder for folder in checkpoints.all_checkpoints(output_dir) if checkpoints.is_complete(folder)]
        if not whole:
            return ""
        use = "" if self.trainer.needed.is_adapter else " and can be the model_name_or_path of the new run"
        return f" The last checkpoint, {whole[-1]}, is whole{use}."


def spoilt(trainer: ExactTrainer, largest: float) -> list[str]:
    """The names of the weights that train and hold a NaN or a number beyond `largest`, on any rank."""
    is_cut = isinstance(trainer.model_wrapped, GroupShardedStage3)
    trained = {name: weight for name, weight in trainer.model.state_dict().items() if not weight.stop_gradient}
    with paddle.no_grad():
        held = [stage3.held(weight) if is_cut else weight for weight in trained.values()]
        sound = paddle.stack([(weight.abs() <= largest).all() for weight in held]).numpy()
    mine = [name for name, is_sound in zip(trained, sound, strict=True) if not is_sound]
    return sorted({name for names in from_all_ranks(mine) for name in names})
