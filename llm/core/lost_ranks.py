"""A run of several processes that has lost one of them: told once, where a library would show its stack."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator

import paddle.distributed as dist

# what gloo and NCCL say when the process at the other end has ended or is silent
SIGNS = re.compile(r"gloo/transport|connection (reset|closed)|broken pipe|timed? ?out|NCCL", re.IGNORECASE)
EXIT_CODE = 3


def is_sign(error: BaseException) -> bool:
    return dist.get_world_size() > 1 and isinstance(error, RuntimeError) and bool(SIGNS.search(str(error)))


@contextlib.contextmanager
def told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not is_sign(error):
            raise
        print(
            f"\nerror: rank {dist.get_rank()} cannot go on: another rank has ended or does not answer "
            f"({str(error).splitlines()[0]}). Why stands in that rank's own log. Start the same command again: it "
            "goes on from the last whole checkpoint.",
            file=sys.stderr,
            flush=True,
        )
        raise SystemExit(EXIT_CODE) from None
