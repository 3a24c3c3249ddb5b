"""NaN and infinite numbers in a checkpoint's tensors. No run saves any (llm/core/train/finite.py), but early
versions did, and nothing can go on from them."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import paddle

from llm.core.console import in_short, listed
from llm.core.model import weights

SUFFIXES = ".safetensors", ".pdparams", ".pdopt"


def faults(folder: Path, only: tuple[str, ...] = ("*",)) -> list[str]:
    """For each file that holds such numbers. `only` files with such names are looked at."""
    files = [file for file in sorted(folder.iterdir()) if any(fnmatch(file.name, pattern) for pattern in only)]
    return [fault for file in files if file.suffix in SUFFIXES and (fault := _fault(file))]


def _fault(file: Path) -> str:
    try:
        names = [name for name, array in _arrays(file) if not np.isfinite(array).all()]
    except Exception as error:  # a broken pickle raises anything
        return f"{file.name} cannot be read ({in_short(error)})"
    return f"{file.name} holds NaN or infinite numbers in {listed(names)}" if names else ""


def _arrays(file: Path) -> Iterator[tuple[str, np.ndarray]]:
    if file.suffix == ".safetensors":
        for tensor in weights.stored(file):
            yield tensor.name, tensor.read()
    else:
        yield from _in(paddle.load(str(file), return_numpy=True))  # which patches.py has made safe


def _in(state: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """An optimiser's state has the weights in float32 one level deeper, and the schedule's numbers."""
    for name, value in state.items():
        if isinstance(value, dict):
            yield from _in(value)
        elif isinstance(value, np.ndarray):
            yield name, value.view(ml_dtypes.bfloat16) if value.dtype == np.uint16 else value
