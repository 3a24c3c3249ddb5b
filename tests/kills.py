"""Processes that are killed at an operation that changes files: each at another one, as many as there are."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterator
from pathlib import Path

KILLED = 77
NAMES = ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir", "open")
READING = {"r", "rb", os.O_RDONLY}


def kills(act: Callable[[], object], ready: Callable[[], object], most: int = 10_000) -> Iterator[int]:
    """Makes `ready` and kills a process that does `act` in place of an operation, and then in place of the next one;
    ends with the first process that was not killed."""
    for number in range(most):
        ready()
        code = _code_of(act, number)
        if code == 0:
            assert number > 0
            return
        assert code == KILLED, f"exit code {code} where operation {number} was to be the last"
        yield number
    raise AssertionError("it goes on without an end")


def _code_of(act: Callable[[], object], last: int) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        _count_down(last)
        act()
        code = 0
    finally:
        os._exit(code)


def _count_down(left: int) -> None:
    """The process ends in place of the operation after so many; files that are opened to be read are none."""

    def guarded(operation):
        def call(*args, **kwargs):
            nonlocal left
            is_reading = "open" in operation.__name__ and kwargs.get("mode", (*args, "r")[1]) in READING
            if left == 0 and not is_reading:
                os._exit(KILLED)
            left -= not is_reading
            return operation(*args, **kwargs)

        return call

    for name in NAMES:
        setattr(os, name, guarded(getattr(os, name)))
    builtins.open = guarded(open)
    Path.open = guarded(Path.open)
