"""Which rank this process is, and what the ranks of a run exchange."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from llm.core.console import folded
from llm.core.cpu import environment

T = TypeVar("T")
PROCESSES = Path("/proc")
SEEN_BY_ALL = ".seen-by-all-"  # how the name begins of a file that all ranks must see


def rank() -> int:
    """As the launcher numbers the processes; known before paddle is imported."""
    return int(os.environ.get("PADDLE_TRAINER_ID", "0"))


def count() -> int:
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))


def is_launched() -> bool:
    return "PADDLE_TRAINER_ID" in os.environ


def has_ended(process: int) -> bool:
    """Whether a process of this machine has; one that nobody has asked for its exit code is still in the list."""
    if not PROCESSES.exists():  # not Linux: nobody knows
        return False
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return (PROCESSES / str(process) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def say(text: str) -> None:
    """On the screen, once for all ranks."""
    if rank() == 0:
        print(folded(text), flush=True)


def from_all_ranks(value: Any) -> list:
    if count() == 1:
        return [value]
    import paddle.distributed as dist

    everyone: list = []
    dist.all_gather_object(everyone, value)
    return everyone


def decided_by_first(decide: Callable[[], T]) -> T:
    """What the first rank decides, or its refusal, on all ranks. The others wait for as long as it takes."""
    refusal, decision = None, None
    if rank() == 0:
        try:
            decision = decide()
        except (ValueError, OSError) as error:
            refusal = error
    if count() > 1:
        import paddle.distributed as dist

        dist.barrier()
        refusal, decision = from_all_ranks((refusal, decision))[0]
    if refusal is not None:
        raise refusal
    return decision  # type: ignore[return-value]  # None only where decide() gives None


def sum_over_ranks(values: list[float]) -> list[float]:
    if count() == 1:
        return values
    import paddle
    import paddle.distributed as dist

    total = paddle.to_tensor(values, dtype="float64")
    dist.all_reduce(total)
    return total.tolist()


def run(main: Callable[[list[str]], object], argv: list[str]) -> None:
    """A script's work, and then the end of its process without tearing it down: gloo now and then aborts a process that
    is torn down while other ranks close their connections, and a finished run would look like a failed one."""
    code = 0
    try:
        main(argv)
        if uses_gloo():
            import paddle.distributed as dist

            with contextlib.suppress(RuntimeError, ValueError):  # another rank has left already
                dist.barrier()  # the first rank serves the store that the others may still be asking
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    if not uses_gloo():
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def uses_gloo() -> bool:
    return count() > 1 and not environment.paddle_has_cuda()
