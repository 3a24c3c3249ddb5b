"""A run of several processes that has lost one of them: reported once, where a library would show its stack."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import time
from collections.abc import Iterator

import paddle.distributed as dist

from llm.core.console import in_short

# what gloo, NCCL and Paddle's store say when the process at the other end has ended or is silent
SIGNS = re.compile(
    r"gloo/transport|connection (reset|closed) by peer|a barrier timed out|ranks that have ended|wait timeout|"
    r"\(external\) nccl|nccl error",
    re.IGNORECASE,
)
KINDS = RuntimeError, ValueError, OSError  # gloo's, the store's, NCCL's
EXIT_CODE = 3
LAUNCHER_LOOKS = 2.0  # seconds


def is_sign(error: BaseException) -> bool:
    """Not what a file system says, which has a number, nor an error of a class of its own."""
    if dist.get_world_size() == 1 or type(error) not in KINDS or getattr(error, "errno", None) is not None:
        return False
    return bool(SIGNS.search(str(error)))


@contextlib.contextmanager
def reported() -> Iterator[None]:
    try:
        yield
    except KINDS as error:
        if not is_sign(error):
            raise
        print(
            f"\nerror: rank {dist.get_rank()} cannot continue: another rank has ended or does not answer "
            f"({in_short(error)}). The reason is in that rank's own log. Start the same command again: it "
            "resumes from the last whole checkpoint.",
            file=sys.stderr,
            flush=True,
        )
        _let_the_launcher_look()
        raise SystemExit(EXIT_CODE) from None


def _let_the_launcher_look() -> None:
    """It looks once a second which of its processes have failed, and shows the log of the first by number: so the one
    that failed first has to be alone for a while. The SIGTERM that it then sends is what follows here anyway."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(LAUNCHER_LOOKS)
