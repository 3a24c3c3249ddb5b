"""Numbered cases, one after another in a process of their own. One that does not end, or ends the process, is an
outcome like others: another process goes on behind it."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from tests.faults.outcomes import HANG, NO_EFFECT, TRACEBACK
from tests.runs import FORKS

READY_WITHIN, ENDS_WITHIN = 240, 10  # seconds
LOST = "the process was lost with it"
Case = Callable[[int], tuple[str, str]]  # number -> (outcome, what is to be seen of it)


def outcomes(make: Callable[..., Case], arguments: tuple, numbers: range, seconds: float) -> Iterator[tuple[str, str]]:
    """make(empty folder, *arguments) is called in the other process."""
    while numbers:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = FORKS.Pipe(duplex=False)
            process = FORKS.Process(target=_carry_out, args=(theirs, Path(folder), make, arguments, numbers))
            process.start()
            theirs.close()
            try:
                outcome, what = _next(ours, process.pid, READY_WITHIN)
                assert outcome == NO_EFFECT, (Path(folder) / "output").read_text()
                is_there = True
                while numbers and is_there:
                    outcome, what = _next(ours, process.pid, seconds)
                    numbers, is_there = numbers[1:], what != LOST
                    yield outcome, what
            finally:
                process.join(0 if numbers else ENDS_WITHIN)
                process.kill()
                process.join()
                ours.close()


def _next(ours: Connection, process: int, seconds: float) -> tuple[str, str]:
    """`seconds` do not count while the process could go on and others have the cores."""
    start, left = time.monotonic() - _kept_waiting(process), seconds
    while left > 0:
        if ours.poll(left):
            try:
                return ours.recv()
            except EOFError:
                return TRACEBACK, LOST
        left = start + seconds - (time.monotonic() - _kept_waiting(process))
    return HANG, LOST


def _kept_waiting(process: int) -> float:
    """Seconds so far, where the system counts them."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def _carry_out(theirs: Connection, folder: Path, make: Callable[..., Case], arguments: tuple, numbers: range) -> None:
    show_in(folder / "output")
    case_of = make(folder, *arguments)
    theirs.send((NO_EFFECT, "ready"))
    for number in numbers:
        theirs.send(case_of(number))
        if number == numbers[0]:  # the library collects garbage at every start: not among all that is imported
            gc.collect()
            gc.freeze()


def show_in(file: Path) -> None:
    """What this process and its libraries show, from now on."""
    with file.open("w") as output:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(output.fileno(), stream.fileno())
