"""Curves of a run for VisualDL or TensorBoard: one file, also over restarts.

VisualDL serves only one record file of a folder. PaddleNLP's callback closes its file with the training, so that the
last evaluation would open a second one, and a restart a third. Here the file is closed with the run, and a run that
resumes writes what its checkpoint's log holds again. A run that does not train leaves the curves of one that did.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from paddlenlp.trainer.integrations import rewrite_logs
from paddlenlp.trainer.trainer_callback import TrainerCallback

RECORDS = "vdlrecords.run.log"


class Curves(TrainerCallback):
    """`add_scalar` of both kinds of writers takes (name, value, step)."""

    def __init__(self, kinds: Sequence[str], folder: str):
        self.kinds, self.folder = kinds, Path(folder)
        self.writers: list = []

    def open(self, args, state) -> None:
        if self.writers or not state.is_world_process_zero:
            return
        self.writers = [WRITERS[kind](self.folder, args) for kind in self.kinds if kind in WRITERS]
        for line in state.log_history:
            self._write(line, line["step"])

    def on_log(self, args, state, control, logs=None, **kwargs):
        """The history has the newest line already."""
        if not args.do_train:
            return
        if not self.writers:
            self.open(args, state)
        elif logs is not None:
            self._write(logs, state.global_step)

    def _write(self, logs: dict, step: int) -> None:
        numbers = {name: value for name, value in logs.items() if isinstance(value, int | float) and name != "step"}
        for writer in self.writers:
            for name, value in rewrite_logs(numbers).items():
                writer.add_scalar(name, value, step)
            writer.flush()

    def close(self) -> None:
        for writer in self.writers:
            writer.close()
        self.writers = []


def visualdl_writer(folder: Path, args):
    from visualdl import LogWriter

    (folder / RECORDS).unlink(missing_ok=True)  # VisualDL would append
    writer = LogWriter(logdir=str(folder), file_name=RECORDS)
    settings = {
        name: str(value) if isinstance(value, bool) else value for name, value in args.to_sanitized_dict().items()
    }
    writer.add_hparams(settings, metrics_list=[])  # whose format has numbers and texts alone
    return writer


def tensorboard_writer(folder: Path, args):
    from tensorboardX import SummaryWriter

    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    return SummaryWriter(str(folder))


WRITERS = {"visualdl": visualdl_writer, "tensorboard": tensorboard_writer}
