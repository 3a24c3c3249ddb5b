"""A run that is asked to stop: SIGTERM, SIGHUP, or Ctrl-C once. A second Ctrl-C ends the process at once."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from llm.core.console import INTERRUPTED

NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP", signal.SIGINT: "Ctrl-C"}
STDERR = 2  # written to directly: a handler may run in the midst of another print


class StopSignals:
    """`name` of the signal that came, or None."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._interrupts = 0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, a signal only takes note: an exception from it could come up in the midst of an update, and through
        Paddle's C++ code as one of its own."""
        kept = [number for number in NAMES if signal.getsignal(number) is signal.SIG_IGN]  # from outside: nohup
        before = {number: signal.signal(number, self._note) for number in NAMES if number not in kept}
        for number in before:
            signal.siginterrupt(number, False)  # a rank that waits for another keeps waiting
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            os.write(STDERR, b"\nended at once; checkpoints that were saved stay\n")
            os._exit(INTERRUPTED)
        if self.name is None:
            self.name = NAMES[signal.Signals(number)]
            hint = b" (Ctrl-C again: end at once)" if number == signal.SIGINT else b""
            os.write(STDERR, f"\n{self.name}: stops after this update or evaluation".encode() + hint + b"\n")
