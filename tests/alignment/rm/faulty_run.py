"""What the tests of faults launch: `faulty_run.py FAULTS CONFIG ...` is run_reward.py CONFIG ... with faults, such as
{"disk_full": {"step": 6, "rank": 1}}.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from llm.core import library_in_parts
from llm.core.cpu import environment

environment.prepare()
library_in_parts.prepare()

from paddle.distributed.fleet.meta_parallel.sharding.group_sharded_stage3 import GroupShardedStage3
from paddlenlp.transformers.llama import modeling as llama

from llm.alignment.rm.flashmask import run_reward
from llm.alignment.rm.flashmask.reward_objective import LabelObjective
from llm.core.model import attention
from llm.core.parallel import ranks, stage3
from llm.core.train import finite
from llm.core.train.exact_trainer import ExactTrainer
from tests.faults import watching

RANK = int(os.environ.get("PADDLE_TRAINER_ID", "0"))


def before(name: str, action) -> None:
    """`action(trainer)` before every call of this method of the trainer."""
    method = getattr(ExactTrainer, name)

    def disturbed(trainer, *args, **kwargs):
        action(trainer)
        return method(trainer, *args, **kwargs)

    setattr(ExactTrainer, name, disturbed)


def before_any(target: str, action) -> None:
    """`action()` before every call of a function that is named as in patches.py: module:attribute."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    function, is_static = getattr(owner, name), isinstance(inspect.getattr_static(owner, name), staticmethod)

    def disturbed(*args, **kwargs):
        action()
        return function(*args, **kwargs)

    setattr(owner, name, staticmethod(disturbed) if is_static else disturbed)


def sigterm(step: int, rank: int = 0, inside: str = "_settle", number: int = signal.SIGTERM) -> None:
    """After so many updates: inside the next one, or in an evaluation (`evaluate`) or a save (`_save_checkpoint`)."""

    def act(trainer):
        if RANK == rank and trainer.state.global_step == step:
            os.kill(os.getpid(), number)

    before(inside, act)


def sigkill(rank: int, inside: str = f"{ExactTrainer.__module__}:ExactTrainer._settle", step: int = 0, call: int = 1):
    """Before a call of a function, counted after so many updates; step -1: before there is a trainer."""
    trainers, calls = [], itertools.count(1)
    before("train", trainers.append)

    def act():
        done = trainers[-1].state.global_step if trainers else -1
        if RANK == rank and done == step and next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)

    before_any(inside, act)


def watch(folder: str, store: str) -> None:
    """The states that a folder goes through."""
    watching.start(Path(folder), Path(store))


def slow(seconds: float) -> None:
    """Every update takes so long."""
    before("_settle", lambda trainer: time.sleep(seconds))


def disk_full(step: int, rank: int = 0) -> None:
    """After so many updates no file of this rank can grow beyond the logs that it has."""

    def act(trainer):
        if RANK == rank and trainer.state.global_step == step:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an OSError instead
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    before("_save_checkpoint", act)


def not_a_number(line: int, gradient: bool = False) -> None:
    """The loss of the micro-batch with the record of this line, or its gradient alone."""
    loss_and_statistics, trainers = LabelObjective.loss_and_statistics, []
    before("_share_of_update", trainers.append)

    def disturbed(objective, logits, inputs):
        loss, statistics = loss_and_statistics(objective, logits, inputs)
        trainer = trainers[-1]
        rows = trainer.train_loader._rows_of(len(trainer._of_update), trainer.args.dataset_rank)
        if any(record.endswith(f"train.jsonl:{line}") for row in rows for record in row.records):
            loss = loss + (loss * 0).sqrt() if gradient else loss * float("nan")
        return loss, statistics

    LabelObjective.loss_and_statistics = disturbed


def no_gradient(after: int) -> None:
    """From the update after so many on, although all losses are finite."""

    settle = ExactTrainer._settle

    def disturbed(trainer, squares):
        return settle(trainer, squares if trainer.state.global_step < after else float("inf"))

    ExactTrainer._settle = disturbed


def rate(update: int, value: float) -> None:
    """The optimiser makes this update with such a learning rate."""

    def act(trainer):
        if trainer.state.global_step == update - 1:
            trainer.lr_scheduler.last_lr = value

    before("_settle", act)


def any_size() -> None:
    """Of weights: they are not judged by it."""
    finite.LARGEST = finite.FINITE


def no_epsilon() -> None:
    """Adam divides the gradients 0 of tokens that do not occur by 0."""

    def act(trainer):
        trainer.optimizer._epsilon = 0.0

    before("_settle", act)


def spoil(update: int, rank: int = 0) -> None:
    """A single weight of this rank is NaN after this update."""

    def act(trainer):
        if RANK == rank and trainer.state.global_step == update:
            weight = next(weight for weight in trainer.model.state_dict().values() if not weight.stop_gradient)
            is_cut = isinstance(trainer.model_wrapped, GroupShardedStage3)
            weight = stage3.held(weight) if is_cut else weight
            numbers = weight.numpy()
            numbers.flat[0] = float("nan")
            weight.set_value(numbers)

    before("_maybe_log_save_evaluate", act)


def count_forwards(file: str) -> None:
    """Writes how often each part of a decoder layer was computed by this rank in its first update."""
    counts = dict.fromkeys(("layer", "attention", "mlp", "core"), 0)

    def counted(name: str, function):
        def call(*args, **kwargs):
            counts[name] += 1
            return function(*args, **kwargs)

        return call

    parts = {"layer": llama.LlamaDecoderLayer, "attention": llama.LlamaAttention, "mlp": llama.LlamaMLP}
    for name, part in parts.items():
        part.forward = counted(name, part.forward)
    attention.kernel_attention = counted("core", attention.kernel_attention)

    def write(trainer):
        if trainer.state.global_step == 0:
            Path(f"{file}.{RANK}").write_text(json.dumps(counts))

    before("_settle", write)


def main(argv: list[str], script: Callable = run_reward.main) -> None:
    for name, settings in json.loads(argv[0]).items():
        globals()[name](**settings)
    script(argv[1:])


if __name__ == "__main__":
    ranks.run(main, sys.argv[1:])
