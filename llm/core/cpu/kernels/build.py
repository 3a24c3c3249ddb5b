"""Compile this folder's C++ for the processor it runs on, once, and load it; or say why that cannot be.

Plain C functions on pointers, called through ctypes: no headers of Paddle, so a build takes seconds and fits every
version. The library is linked against the OpenMP runtime that Paddle's MKL uses: a second one would keep threads
spinning next to it.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import paddle

from llm.core.cpu import environment

SOURCES = Path(__file__).resolve().parent
FLAGS = "-std=c++17 -O3 -march=native -fno-math-errno -fopenmp -fPIC -shared".split()
if platform.machine() == "x86_64":
    FLAGS.append("-mprefer-vector-width=512")  # where the processor has them
SWITCH = "LLM_CPU_KERNELS"  # 0: do without
COMPILERS = ("g++", "c++", "clang++")
LONGEST_BUILD = 300  # seconds


class NotBuilt(Exception):
    """Why there are no compiled kernels here."""


@lru_cache
def kernels() -> tuple[ctypes.CDLL | None, str]:
    """(the library or None, why it is None)"""
    try:
        return _load(), ""
    except NotBuilt as error:
        return None, str(error)


def _load() -> ctypes.CDLL:
    if os.environ.get(SWITCH) == "0":
        raise NotBuilt(f"{SWITCH}=0")
    if platform.system() != "Linux":
        raise NotBuilt(f"compiled kernels are for Linux, this is {platform.system()}")
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None or not shutil.which(compiler):
        raise NotBuilt(f"no C++ compiler ({', '.join(COMPILERS)} or $CXX) was found")
    sources = sorted(SOURCES.glob("*.cpp"))
    if not sources:
        raise NotBuilt(f"their C++ sources are not in {SOURCES}: this copy of the project is incomplete")
    command = [compiler, *FLAGS, *map(str, sources)]
    library = cache_folder() / f"{_key(compiler)}.so"
    try:
        with open(library.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several ranks start at once
            if not library.is_file():
                _compile(command, library)
        return ctypes.CDLL(str(library))
    except (OSError, subprocess.SubprocessError) as error:
        raise NotBuilt(f"{library}: {error}") from error


def _compile(command: list[str], library: Path) -> None:
    unfinished = library.with_suffix(".unfinished")
    done = subprocess.run(
        [*command, "-o", str(unfinished), *_openmp()],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LONGEST_BUILD,
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        raise NotBuilt(f"{command[0]} could not compile them: {' '.join(errors[:1])[:200]}")
    unfinished.replace(library)


def _openmp() -> list[str]:
    libraries = Path(paddle.__file__).resolve().parent / "libs"
    if not (libraries / "libiomp5.so").is_file():
        return []  # -fopenmp links the compiler's own
    # named before the compiler's own runtime, whose symbols it has, and that one left out if nothing needs it
    return [f"-L{libraries}", "-Wl,--as-needed", "-l:libiomp5.so", f"-Wl,-rpath,{libraries}"]


def _key(compiler: str) -> str:
    """Another processor, compiler, source or Paddle gets a build of its own."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, errors="replace").stdout
    flags = [line for line in environment.cpu_description().splitlines() if "flags" in line.lower()]
    parts = [version, *flags[:1], *FLAGS, paddle.__file__]
    parts += [file.read_text(encoding="utf-8") for file in sorted(SOURCES.iterdir()) if file.suffix in (".cpp", ".h")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def cache_folder() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (home / "llm_cpu_kernels", Path(tempfile.gettempdir()) / f"llm_cpu_kernels_{os.getuid()}"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
            return folder
    raise NotBuilt(f"neither {home} nor {tempfile.gettempdir()} can be written")
