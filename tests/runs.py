"""Runs of run_reward.py: starting one in processes of its own, disturbing it, and reading what it left."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm.alignment.rm.flashmask import reward_start
from llm.alignment.rm.flashmask.run_reward import main
from llm.core.parallel.ranks import has_ended
from tests import forked_rank
from tests.alignment.rm import faulty_run

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPT = REPOSITORY / "llm/alignment/rm/flashmask/run_reward.py"
SECONDS = 240  # until what is waited for must have come
STACK = "Traceback (most recent call last):\n  File"  # Python's; Paddle prints one of its own at a SIGTERM

# ---- what a run left


def history(output_dir: Path) -> dict:
    """{(step, is evaluation): logged values without the speeds}"""
    logs = json.loads((output_dir / "trainer_state.json").read_text())["log_history"]
    timed = ("tokens_per_second", "solutions_per_second")
    return {
        (log["step"], "eval_loss" in log): {name: value for name, value in log.items() if name not in timed}
        for log in logs
    }


def weights(output_dir: Path) -> dict:
    return load_file(output_dir / "model-00001-of-00001.safetensors")


def assert_same_runs(one: Path, other: Path, tolerance: float = 1e-6) -> None:
    first, second = history(one), history(other)
    assert first.keys() == second.keys()
    for step, values in first.items():
        for name, value in values.items():
            assert second[step][name] == pytest.approx(value, rel=tolerance, abs=tolerance), (step, name)


def assert_same_when_resumed(straight: Path, script: Callable, flags: list[str], out: Path) -> None:
    """A run into `out` from the third update of the run in `straight` ends as that one."""
    shutil.copytree(straight / "checkpoint-3", out / "checkpoint-3")
    (out / "settings.json").write_text("{}")
    script(flags)
    assert_same_runs(straight, out)
    np.testing.assert_equal(weights(out), weights(straight))


def refusal(capsys, flags: list[str], command: Callable[[list[str]], object] = main) -> str:
    """The message of a command that must end with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        command(flags)
    assert stop.value.code == 2
    return capsys.readouterr().err


# ---- processes that are only to train: forked, without the launcher

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([forked_rank.__name__, reward_start.__name__, "visualdl"])


class End(NamedTuple):
    """Of a rank."""

    code: int | None  # None: it was still running
    shown: str


def train_ranks(flags: list[str], folder: Path, ranks: int = 2, script: Callable = main, **faults) -> str:
    """A run, or another script, that must end well, with the faults of faulty_run.py; what its first rank showed."""
    ends = ends_of_ranks(flags, folder, ranks, script=script, **faults)
    assert not any(end.code for end in ends), "\n".join(f"exit code {end.code}: {end.shown[-3000:]}" for end in ends)
    return ends[0].shown


def ends_of_ranks(
    flags: list[str],
    folder: Path,
    ranks: int = 2,
    seconds: float = SECONDS,
    script: Callable = main,
    own: tuple[list[str], ...] = (),
    **faults,
) -> list[End]:
    """Of a run, with the faults of faulty_run.py. `own`: flags of each rank besides."""
    until = time.monotonic() + seconds
    with forked(flags, folder, ranks, script, own, **faults) as processes:
        for process, _ in processes:
            process.join(max(until - time.monotonic(), 0))
        return [End(process.exitcode, log.read_text(errors="replace")) for process, log in processes]


def kill_at(path: Path, flags: list[str], folder: Path) -> None:
    """A run of one process that is killed as soon as it has written `path`."""
    with forked(flags, folder, ranks=1) as [(process, _)]:
        wait_for_file(path, process)


def wait_for_file(path: Path, process: BaseProcess) -> None:
    until = time.monotonic() + SECONDS
    while not path.exists():
        assert process.is_alive() and time.monotonic() < until, f"{path} did not come"
        time.sleep(0.002)


@contextlib.contextmanager
def forked(
    flags: list[str], folder: Path, ranks: int, script: Callable = main, own: tuple[list[str], ...] = (), **faults
) -> Iterator[list[tuple[BaseProcess, Path]]]:
    """The processes of a run and their logs; at its end none is left. The ranks meet over gloo; they get from here
    what Paddle's launcher would set."""
    endpoints = [f"127.0.0.1:{port}" for port in free_ports(ranks + 1)]
    common = {
        "PADDLE_TRAINERS_NUM": ranks,
        "PADDLE_LOCAL_SIZE": ranks,
        "PADDLE_GLOBAL_SIZE": ranks,
        "PADDLE_MASTER": endpoints.pop(),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints),
        "PADDLE_DISTRI_BACKEND": "gloo",
    }
    numbers = ("PADDLE_TRAINER_ID", "PADDLE_LOCAL_RANK", "PADDLE_GLOBAL_RANK", "PADDLE_RANK_IN_NODE")
    processes = []
    try:
        for rank, endpoint in enumerate(endpoints):
            variables = common | dict.fromkeys(numbers, rank) | {"PADDLE_CURRENT_ENDPOINT": endpoint}
            words = [*flags, *own[rank]] if own else flags
            log = folder / f"log.{rank}"
            processes.append((start_forked(script, words, folder, log, faults, variables if ranks > 1 else {}), log))
        yield processes
    finally:
        for process, _ in processes:
            process.kill()
            process.join()


def start_forked(
    script: Callable, flags: list[str], folder: Path, log: Path, faults: dict, variables: dict[str, object]
) -> BaseProcess:
    """A process in `folder` that has imported paddle already, and does script(flags)."""
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    process = FORKS.Process(target=forked_rank.run, args=(environment, folder, log, flags, faults, script))
    process.start()
    return process


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


# ---- processes as a user starts them


class Run:
    """A script's one process, or its ranks under Paddle's launcher; `node` are flags of one launcher among others."""

    def __init__(self, command: list[str], folder: Path, ranks: int, node: tuple[str, ...] = ()):
        launcher = ["-m", "paddle.distributed.launch", f"--nproc_per_node={ranks}", *node]
        is_launched = ranks > 1 or bool(node)
        start = [*launcher, f"--log_dir={folder / 'logs'}"] if is_launched else ["-u"]
        self.log = folder / "log"  # what a user sees
        self.rank_logs = [folder / "logs" / f"workerlog.{rank}" if is_launched else self.log for rank in range(ranks)]
        for old in self.rank_logs:
            old.unlink(missing_ok=True)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *start, *command], cwd=folder, stdout=log, stderr=subprocess.STDOUT
            )
        self.ranks = [] if is_launched else [self.process.pid]

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
            while not has_ended(process):
                assert time.monotonic() < until, f"process {process} goes on:\n{self.everything()}"
                time.sleep(0.02)
        return self.process.wait()

    def shown(self, rank: int | None = None) -> str:
        log = self.log if rank is None else self.rank_logs[rank]
        return log.read_text(errors="replace") if log.exists() else ""

    def everything(self) -> str:
        return "\n".join(self.shown(rank) for rank in (None, *range(len(self.rank_logs))))


@contextlib.contextmanager
def started(command: list[str], folder: Path, ranks: int, node: tuple[str, ...] = ()) -> Iterator[Run]:
    """At its end no process is left, whatever a test has found."""
    run = Run(command, folder, ranks, node)
    try:
        yield run
    finally:
        for process in (run.process.pid, *run.ranks, *ranks_of(run.process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        run.process.wait()


@contextlib.contextmanager
def running(flags: list[str], folder: Path, ranks: int = 2, **faults) -> Iterator[Run]:
    """run_reward.py with these faults of faulty_run.py, all of whose ranks are there."""
    with started([faulty_run.__file__, json.dumps(faults), *flags], folder, ranks) as run:
        run.find_ranks()
        yield run


def ranks_of(launcher: int) -> list[int]:
    """The processes that a launcher has started so far, by rank."""
    ranks = {}
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended in the meantime
        for process in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
            environment = Path(f"/proc/{process}/environ").read_bytes()
            if rank := re.search(rb"\0PADDLE_TRAINER_ID=(\d+)\0", environment):
                ranks[int(rank[1])] = int(process)
    return [ranks[rank] for rank in sorted(ranks)]
