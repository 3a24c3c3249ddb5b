"""The library's Trainer with checkpoints that are whole or do not count, and runs that resume from them exactly.

The library saves into place, loads one file of several in a single process, and forgets at a restart what it had
summed up since the last log.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import numpy as np
import paddle
import paddle.distributed as dist
from paddle.distributed.fleet.meta_parallel.sharding.group_sharded_stage3 import GroupShardedStage3
from paddle.distributed.parallel import sync_params_buffers
from paddlenlp.trainer.trainer import OPTIMIZER_NAME, Trainer
from paddlenlp.trainer.trainer_callback import TrainerState
from paddlenlp.trainer.trainer_utils import ShardingOption
from paddlenlp.trainer.unified_checkpoint.load_save_single_card import save_single_card_checkpoint
from paddlenlp.trainer.utils.helper import broadcast_dataset_rank0_model, broadcast_dp_optimizer
from paddlenlp.transformers.model_utils import _add_variant
from safetensors import SafetensorError

from llm.core.checkpoint import checkpoints, contents, loop_state, stage3_checkpoint
from llm.core.checkpoint.contents import STATE, TALLY
from llm.core.console import UserError, listed
from llm.core.files import read_json, write_json
from llm.core.model import replacement
from llm.core.parallel import rank_failure, ranks, stage3
from llm.core.parallel.ranks import from_all_ranks
from llm.core.train.tally import Tally


class SaveError(UserError):
    """A checkpoint or the model could not be written; what was there before is untouched."""


class ResumableTrainer(Trainer):
    """`tally_names` are the statistics that a line of the log is made of."""

    def __init__(
        self,
        *,
        identity: dict,
        needed: contents.Needed,
        steps: int,
        steps_per_pass: int | None,
        unified: bool,
        tally_names: Iterable[str],
        **kwargs,
    ):
        super().__init__(**kwargs)
        # of stage 3, which the library saves in a form of its own
        self.unified_stage3 = unified and ShardingOption.FULL_SHARD in self.args.sharding
        self.args.ignore_save_lr_and_optim = self.unified_stage3  # by the library
        self.identity = identity
        self.needed = needed  # of a checkpoint
        self.steps = steps
        self.steps_per_pass = steps_per_pass  # None for a stream, which has no order to vary
        self.first_pass = 0
        self.tally = Tally(
            tally_names,
            copies=max(self.args.tensor_parallel_degree, 1),
            carries_on=self.args.dataset_rank == 0 and self.args.pipeline_parallel_rank == 0,
        )

    # ---- going on

    def train(self, resume_from_checkpoint: str | None = None, **kwargs):
        if resume_from_checkpoint:
            state = TrainerState.load_from_json(str(Path(resume_from_checkpoint) / STATE))
            if state.global_step >= self.steps:
                return self._take_up_finished(state, resume_from_checkpoint)
            self.first_pass = state.global_step // self.steps_per_pass if self.steps_per_pass else 0
        self.tally.start_clock()
        trained = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        if self.unified_stage3 and self.args.load_best_model_at_end and self.state.best_model_checkpoint:
            self._load_from_checkpoint(self.state.best_model_checkpoint)  # the library looks for a file of its own form
        return trained

    def _maybe_log_save_evaluate(self, *args, **kwargs):
        super()._maybe_log_save_evaluate(*args, **kwargs)
        if self.control.should_training_stop and self.args.load_best_model_at_end:
            ranks.decided_by_first(self._check_best)  # which the library loads next

    def _check_best(self) -> None:
        best = self.state.best_model_checkpoint
        if best and (faults := contents.faults_of_model(Path(best), self.needed)):
            raise UserError(
                f"load_best_model_at_end: the best model is in {best}, which is damaged: {listed(faults)}. Put back a "
                "copy of it, or write load_best_model_at_end false to end with the last model, and start the same "
                "command again."
            )

    def _take_up_finished(self, state: TrainerState, checkpoint: str) -> None:
        """The library would train one step more before it looked at max_steps."""
        self.state = state
        self._load_tally(checkpoint)
        best = state.best_model_checkpoint if self.args.load_best_model_at_end else None
        self._load_from_checkpoint(best or checkpoint)
        # the library loads on one data rank, and leaves the others to its wrappers
        if self.args.use_hybrid_parallel and not self.unified_stage3:
            broadcast_dataset_rank0_model(self.model)
        elif self.args.world_size > 1 and not self.unified_stage3:
            sync_params_buffers(self.model)

    def _load_optimizer_and_scheduler(self, checkpoint):
        if checkpoint is not None and self.unified_stage3:
            stage3_checkpoint.load_optimizer(self.model_wrapped, Path(checkpoint))
        elif checkpoint is not None:
            self.optimizer.set_state_dict(self._optimizer_state(checkpoint))
        if checkpoint is not None:
            self.lr_scheduler.set_state_dict(loop_state.schedule_of(Path(checkpoint)))
            self._load_tally(checkpoint)

    def _optimizer_state(self, checkpoint: str) -> dict:
        """As the library does it, which would then insist on a pickled schedule."""
        state = None
        if self.args.unified_checkpoint and self.is_unified_checkpoint(checkpoint):
            state = self.unified_checkpoint_handler.load_unified_optimizer(
                model=self.model, optimizer=self.optimizer, resume_from_checkpoint=checkpoint
            )
        elif self.args.data_parallel_rank == 0:
            file = Path(checkpoint) / _add_variant(OPTIMIZER_NAME, self.args.optimizer_name_suffix)
            state = paddle.load(str(file))  # which patches.py has made safe
        self.wait_for_ranks()
        return broadcast_dp_optimizer(state)

    def _load_rng_state(self, checkpoint):
        if checkpoint is not None:
            loop_state.restore_random(Path(checkpoint), self.args.process_index, self.args.world_size)

    def _load_from_checkpoint(self, resume_from_checkpoint=None):
        if resume_from_checkpoint and self.unified_stage3:
            stage3_checkpoint.load_model(self.model_wrapped, Path(resume_from_checkpoint))
        else:
            super()._load_from_checkpoint(resume_from_checkpoint)

    def _load_tally(self, checkpoint: str) -> None:
        self.tally.restore(read_json(Path(checkpoint) / TALLY))

    def _set_state_dict_in_model(self, state_dict):
        if isinstance(self.model_wrapped, GroupShardedStage3):
            stage3.set_state(self.model_wrapped, state_dict)
        else:
            super()._set_state_dict_in_model(state_dict)

    # ---- saving

    def save_model(self, output_dir: str | None = None, merge_tensor_parallel: bool = False):
        if ShardingOption.FULL_SHARD not in self.args.sharding:
            return super().save_model(output_dir, merge_tensor_parallel)
        if not isinstance(self.model_wrapped, GroupShardedStage3):  # a finished run that was taken up
            if self.args.should_save:
                save_single_card_checkpoint(self.model, output_dir)
        elif self.unified_stage3:
            stage3_checkpoint.save_model(self.model_wrapped, Path(output_dir))
        else:
            return super().save_model(output_dir, merge_tensor_parallel)
        if self.args.should_save:
            self.tokenizer.save_pretrained(output_dir)

    def _save_checkpoint(self, model, metrics=None):
        value = None if metrics is None else metrics.get(f"eval_{self.args.metric_for_best_model}")
        if value is None or not np.isfinite(value):
            metrics = None  # undefined for this data, so no candidate for the best
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        if self.is_world_process_zero() and folder.exists():
            shutil.rmtree(folder)  # the half-written one of a killed run
        self.wait_for_ranks()
        tally = self.tally.state()
        try:
            with self.tally.clock_stopped():
                super()._save_checkpoint(model, metrics)
                if self.unified_stage3:
                    stage3_checkpoint.save_optimizer(self.model_wrapped, folder)
            self.wait_for_ranks()  # in the store: one that could not write is then reported as such, not as lost
            random_states = from_all_ranks(loop_state.of_rank())
            if self.is_world_process_zero():
                loop_state.save(folder, random_states, self.lr_scheduler.state_dict())
                write_json(folder / TALLY, tally)
                write_json(folder / checkpoints.IDENTITY, self.identity)
                checkpoints.mark_complete(folder)
        except Exception as error:
            _give_up(folder, folder, error)
        if self.is_world_process_zero():
            checkpoints.delete_old(folder.parent, self.args.save_total_limit, self.state.best_model_checkpoint)
        self.wait_for_ranks()

    def _rotate_checkpoints(self, use_mtime=False, output_dir=None) -> None:
        """Old checkpoints are deleted in _save_checkpoint, once the new one is known to be whole; the library would
        do it before."""

    def save_final_model(self, leave_others: Callable[[Path], None]) -> None:
        """Model and tokenizer into output_dir, with the files that `leave_others` writes, in place of a model that was
        there before."""
        output_dir = Path(self.args.output_dir)
        unfinished = output_dir / replacement.UNFINISHED
        if self.is_world_process_zero():
            replacement.begin(output_dir)
        self.wait_for_ranks()
        try:
            self.save_model(str(unfinished))
            self.wait_for_ranks()
            if self.is_world_process_zero():
                leave_others(unfinished)
                replacement.finish(output_dir)
        except Exception as error:
            _give_up(unfinished, output_dir, error)

    def wait_for_ranks(self) -> None:
        if self.args.world_size > 1:
            dist.barrier()


def _give_up(unfinished: Path, folder: Path, error: Exception) -> NoReturn:
    if rank_failure.is_sign(error) or not isinstance(error, OSError | SafetensorError):
        raise error
    left = "is ignored"  # other ranks may be writing into it
    if dist.get_world_size() == 1:
        shutil.rmtree(unfinished, ignore_errors=True)
        left = "has been removed"
    raise SaveError(
        f"{folder} could not be written ({type(error).__name__}: {error}). The half-written folder {left}; "
        "earlier checkpoints are untouched. Free some space (or make the folder writable) and start the same "
        "command again: it resumes from the last whole checkpoint."
    ) from error
