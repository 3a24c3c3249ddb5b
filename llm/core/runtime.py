"""What must be decided before paddle is imported: threads and the matrix library's settings. No paddle here."""

from __future__ import annotations

import os
from pathlib import Path


def prepare() -> dict[str, str]:
    """Set the CPU settings that the user's environment leaves open; returns those that were set here.

    The wheel's MKL takes its slow path on AMD processors unless told otherwise (44 against 235 GFLOP/s on two cores),
    and the two OpenMP runtimes that are loaded spin against each other unless idle threads sleep at once.
    """
    wanted = {"OMP_NUM_THREADS": str(_cores_for_this_process()), "KMP_BLOCKTIME": "0"}
    if _is_amd():
        wanted["MKL_DEBUG_CPU_TYPE"] = "5"
    chosen = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(chosen)
    return chosen


def _cores_for_this_process() -> int:
    """The cores this process may use, shared evenly among the ranks that the launcher started on this machine."""
    ranks = int(os.environ.get("PADDLE_LOCAL_SIZE", "1"))
    return max(len(os.sched_getaffinity(0)) // ranks, 1)


def _is_amd() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and "AuthenticAMD" in cpuinfo.read_text(errors="replace")
