"""A command as a person sees it, in a terminal: when it says something, and what it and all its processes need."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from llm.core.paths import REPOSITORY

EVERY = 0.1  # seconds between two looks at memory
SIZE = (40, 120)  # lines and columns
TICKS = os.sysconf("SC_CLK_TCK")  # a second of /proc's CPU times


@dataclass
class Watched:
    """`at` says of each text that was waited for: (seconds, CPU seconds) until it was on the screen."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of all processes
    peak_bytes: int | None = None  # of all processes together; a page that several share counts once
    first_output: float | None = None
    at: dict[str, tuple[float, float | None]] = field(default_factory=dict)


def watch(command: list[str], texts: tuple[str, ...] = ()) -> Watched:
    """ValueError, with what was on the screen, if the command fails or a text does not appear."""
    begin = time.perf_counter()
    screen, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, SIZE)  # without one there is no room for a bar
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=REPOSITORY, close_fds=True)
    os.close(theirs)
    found, said, looked = Watched(), "", -EVERY
    try:
        while (some := _read(screen)) is not None:
            now = time.perf_counter() - begin
            if some and found.first_output is None:
                found.first_output = now
            said += some
            for text in texts:
                if text in said and text not in found.at:
                    found.at[text] = now, _cpu_seconds(process.pid)
            if now - looked >= EVERY:
                looked = now
                found.peak_bytes = _larger(found.peak_bytes, _bytes(process.pid))
    finally:
        os.close(screen)  # a command that is still running gets a SIGHUP
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    found.seconds, found.cpu_seconds = time.perf_counter() - begin, usage.ru_utime + usage.ru_stime
    if process.returncode or len(found.at) < len(texts):
        raise ValueError(f"{' '.join(command[1:])} ended with exit code {process.returncode}:\n{said[-3000:]}")
    return found


def _read(screen: int) -> str | None:
    """What came in the meantime; None at the end."""
    if not select.select([screen], [], [], EVERY)[0]:
        return ""
    try:
        return os.read(screen, 1 << 16).decode(errors="replace") or None
    except OSError:  # how Linux says that every process has closed the terminal
        return None


def _larger(one: int | None, other: int | None) -> int | None:
    return other if one is None else max(one, other or 0)


def _processes(root: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield root
    for children in Path(f"/proc/{root}/task").glob("*/children"):
        for child in _text(children).split():
            yield from _processes(int(child))


def _bytes(root: int) -> int | None:
    parts = [
        re.search(r"^Pss:\s+(\d+) kB", _text(Path(f"/proc/{process}/smaps_rollup")), re.M)
        for process in _processes(root)
    ]
    return sum(int(part[1]) * 1024 for part in parts if part) or None


def _cpu_seconds(root: int) -> float | None:
    """Of the processes that run, and of those that they have waited for."""
    times = [_text(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()[11:15] for process in _processes(root)]
    return sum(map(int, [ticks for four in times for ticks in four])) / TICKS or None


def _text(path: Path) -> str:
    """Of a process that may have ended."""
    try:
        return path.read_text()
    except OSError:
        return ""
