"""Runs of several real processes that are disturbed from outside, and what is left of them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.alignment.rm import faulty_run
from tests.alignment.rm.runs import SCRIPT

SECONDS = 240  # until what is waited for must have come
STACK = "Traceback (most recent call last):\n  File"  # Python's; Paddle prints one of its own at a SIGTERM


class Run:
    """Of one process, or of several under the launcher; with `faults` those of faulty_run.py."""

    def __init__(self, flags: list[str], folder: Path, ranks: int, faults: dict):
        script = [faulty_run.__file__, json.dumps(faults)] if faults else [str(SCRIPT)]
        launcher = ["-m", "paddle.distributed.launch", f"--nproc_per_node={ranks}", f"--log_dir={folder / 'logs'}"]
        self.log = folder / "log"  # what a user sees
        self.rank_logs = [folder / "logs" / f"workerlog.{rank}" for rank in range(ranks)] if ranks > 1 else [self.log]
        for old in self.rank_logs:
            old.unlink(missing_ok=True)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(launcher if ranks > 1 else ["-u"]), *script, *flags],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.ranks = [self.process.pid] if ranks == 1 else []

    def find_ranks(self) -> None:
        while len(self.ranks) < len(self.rank_logs):
            self.wait_until(lambda: ranks_of(self.process.pid), "ranks")
            self.ranks = ranks_of(self.process.pid)

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        until = time.monotonic() + SECONDS
        while not condition():
            assert self.process.poll() is None and time.monotonic() < until, f"{what} did not come:\n{self.shown()}"
            time.sleep(0.002)

    def wait_for_line(self, text: str) -> None:
        self.wait_until(lambda: text in self.shown(0), repr(text))

    def send(self, number: int, *ranks: int) -> None:
        for rank in ranks:
            os.kill(self.ranks[rank], number)

    def end(self) -> int:
        """The exit code, once no process of the run is left."""
        until = time.monotonic() + SECONDS
        for process in (self.process.pid, *self.ranks):
            while is_alive(process):
                assert time.monotonic() < until, f"process {process} goes on:\n{self.everything()}"
                time.sleep(0.02)
        return self.process.wait()

    def shown(self, rank: int | None = None) -> str:
        log = self.log if rank is None else self.rank_logs[rank]
        return log.read_text(errors="replace") if log.exists() else ""

    def everything(self) -> str:
        return "\n".join(self.shown(rank) for rank in (None, *range(len(self.rank_logs))))


@contextlib.contextmanager
def running(flags: list[str], folder: Path, ranks: int = 2, **faults) -> Iterator[Run]:
    """At its end no process is left, whatever a test has found."""
    run = Run(flags, folder, ranks, faults)
    try:
        run.find_ranks()
        yield run
    finally:
        for process in (run.process.pid, *run.ranks):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        run.process.wait()


def settings(tiny: Path, folder: Path, **changes) -> list[str]:
    """Flags of a run of 12 updates into folder/out; the order of the rows changes with every pass of 4 updates."""
    folder.mkdir(exist_ok=True)
    values = {
        "model_name_or_path": str(tiny / "model"),
        "train_dataset_path": str(tiny / "train.jsonl"),
        "dev_dataset_path": str(tiny / "dev.jsonl"),
        "output_dir": str(folder / "out"),
        "zero_padding": False,
        "max_seq_len": 384,
        "max_steps": 12,
        "logging_steps": 2,
        "eval_steps": 6,
        "save_steps": 3,
        "warmup_steps": 2,
        "learning_rate": 1e-3,
        "gradient_accumulation_steps": 2,
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 3,
        "load_best_model_at_end": False,
        "disable_tqdm": True,
        **changes,
    }
    (folder / "config.json").write_text(json.dumps(values))
    return [str(folder / "config.json")]


def finish(flags: list[str], folder: Path, ranks: int = 2, **faults) -> Run:
    """A run that must end well by itself."""
    with running(flags, folder, ranks, **faults) as run:
        assert run.end() == 0, run.everything()
    return run


def ranks_of(launcher: int) -> list[int]:
    """The processes that a launcher has started so far, by rank."""
    ranks = {}
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended in the meantime
        for process in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
            environment = Path(f"/proc/{process}/environ").read_bytes()
            if rank := re.search(rb"\0PADDLE_TRAINER_ID=(\d+)\0", environment):
                ranks[int(rank[1])] = int(process)
    return [ranks[rank] for rank in sorted(ranks)]


def is_alive(process: int) -> bool:
    """A zombie has ended; who inherits the children of a killed launcher need not ask for it."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
