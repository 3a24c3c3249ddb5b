"""What must be decided before paddle is imported: threads and the matrix library's settings. No paddle here."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import re
import signal
import warnings
from pathlib import Path

PR_SET_PDEATHSIG = 1  # of Linux's prctl.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
# Warnings that importing paddle and paddlenlp prints at every start. They do not matter here: this project does not
# compile through Paddle's extensions, and which package provides distutils is theirs to choose.
IMPORT_WARNINGS = ("No ccache found", "Setuptools is replacing distutils", "The distutils package is deprecated")


def prepare() -> dict[str, str]:
    """Set the CPU settings that the user's environment leaves open; returns those that were set here.

    The wheel's MKL takes its slow path on AMD processors unless a setting names their instructions (44 against 235
    GFLOP/s on two cores). MKL has its own number of threads here: Paddle warns about OMP_NUM_THREADS above 1, and two
    OpenMP runtimes are loaded that spin against each other unless idle threads sleep at once.
    """
    wanted = {"KMP_BLOCKTIME": "0"}
    if "OMP_NUM_THREADS" not in os.environ:
        wanted["MKL_NUM_THREADS"] = str(_cores_for_this_process())
    cpu = cpu_description()
    if "AuthenticAMD" in cpu:
        wanted["MKL_DEBUG_CPU_TYPE"] = "7" if "avx512f" in cpu else "5"
    chosen = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(chosen)
    for text in IMPORT_WARNINGS:
        warnings.filterwarnings("ignore", message=text)
    _keep_freed_memory()
    if "PADDLE_LOCAL_SIZE" in os.environ:
        _end_with_launcher()
    return chosen


def paddle_has_cuda() -> bool:
    """Whether the installed PaddlePaddle is a GPU build, as its own build information says: importing it takes
    seconds."""
    found = importlib.util.find_spec("paddle")
    if found is None or found.origin is None:
        raise ValueError(
            "PaddlePaddle is not installed. Install the CPU build (paddlepaddle) or, from PaddlePaddle's own package "
            "index, the GPU build (paddlepaddle-gpu): docs/install.md."
        )
    version = (Path(found.origin).parent / "version" / "__init__.py").read_text(encoding="utf-8")
    built_with = re.search(r"^cuda_version\s*=\s*'(.*)'", version, re.MULTILINE)
    return built_with is not None and built_with[1] != "False"


def threads() -> int:
    """Threads of this project's own kernels: as many as the matrix library has."""
    setting = os.environ.get("MKL_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS", "")
    return max(int(setting), 1) if setting.isdigit() else _cores_for_this_process()


def _keep_freed_memory() -> None:
    """Let glibc reuse freed tensors instead of giving them back to the kernel and faulting every page in again, which
    made element-wise operations on tensors of 30 MB 3 to 10 times slower."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 64 << 20)


def _end_with_launcher() -> None:
    """A launcher that is killed leaves its ranks running: let the system send them a SIGTERM then."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL("libc.so.6").prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _cores_for_this_process() -> int:
    """The cores this process may use, shared evenly among the ranks that the launcher started on this machine."""
    ranks = int(os.environ.get("PADDLE_LOCAL_SIZE", "1"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # Linux, others
    return max(cores // ranks, 1)


def cpu_description() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.read_text(errors="replace") if cpuinfo.is_file() else ""
