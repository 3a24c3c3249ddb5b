"""Which way of making products in bfloat16 is the faster one on this processor: measured once, kept next to the
compiled kernels."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import paddle

from llm.core.cpu.bfloat16 import onednn
from llm.core.cpu.bfloat16.products import ByOneDnn, InFloat32, Way
from llm.core.cpu.kernels.build import NotBuilt, cache_folder
from llm.core.cpu.processor import describe_processor
from llm.core.files import read_json, write_json

SWITCH = "LLM_CPU_BFLOAT16"
ONEDNN, FLOAT32 = "onednn", "float32"
WAYS: dict[str, Callable[[], Way]] = {ONEDNN: ByOneDnn, FLOAT32: InFloat32}
SHOWN = {ONEDNN: "by oneDNN", FLOAT32: "in float32, of rounded numbers"}
FILE = "bfloat16_products.json"
SHAPE, TIMES = (512, 1024, 1024), 7  # of the product that is measured, and how often


def choose() -> tuple[str, str]:
    """(name of the way, what it is and why)"""
    name, why = _chosen()
    return name, f"{SHOWN[name]} ({why})"


def _chosen() -> tuple[str, str]:
    asked = os.environ.get(SWITCH)
    if asked and asked not in WAYS:
        raise ValueError(f"{SWITCH}={asked}: there is no such way; write {' or '.join(WAYS)}, or leave it out")
    why_not = onednn.why_not()
    if asked == ONEDNN and why_not:
        raise ValueError(
            f"{SWITCH}={asked}: oneDNN makes no products in bfloat16 on {describe_processor()}: {why_not}. Write "
            f"{FLOAT32}, or leave it out."
        )
    if asked:
        return asked, f"{SWITCH}={asked}"
    if why_not:
        return FLOAT32, f"oneDNN has none for {describe_processor()}: {why_not}"
    seconds = kept_or_measured(describe_processor(), measure)
    name = min(seconds, key=seconds.__getitem__)
    ratio = max(seconds.values()) / seconds[name]
    return name, f"{ratio:.1f} times as fast as the other way on {describe_processor()}"


def kept_or_measured(key: str, measure: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
    """Seconds of each way. Ranks that start at once on a machine take what the first one of them measures."""
    try:
        file = cache_folder() / FILE
    except NotBuilt:  # nothing can be kept
        return measure()
    with _locked(file):
        kept = _read(file)
        if not _is_whole(kept.get(key)):
            kept[key] = dict(measure())
            write_json(file, kept)
    return kept[key]


def _read(file: Path) -> dict:
    with contextlib.suppress(OSError, ValueError):
        kept = read_json(file)
        if isinstance(kept, dict):
            return kept
    return {}


def _is_whole(seconds: object) -> bool:
    return (
        isinstance(seconds, dict)
        and set(seconds) == set(WAYS)
        and all(isinstance(value, float) and value > 0 for value in seconds.values())
    )


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with open(file.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def measure() -> dict[str, float]:
    """The fastest of some products each way, in turns. The weight is packed before: it is so once an update."""
    rows, depth, columns = SHAPE
    numbers = np.random.default_rng(0)  # those of the run are not touched
    x_MK, weight = (
        paddle.to_tensor(numbers.standard_normal(shape, "float32")) for shape in ([rows, depth], [depth, columns])
    )
    products = {}
    for name, make in WAYS.items():
        way = make()
        products[name] = partial(way.forward, way.narrow(x_MK), weight)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(TIMES):
        for name, multiply in products.items():
            begin = time.perf_counter()
            multiply()
            seconds[name].append(time.perf_counter() - begin)
    return {name: min(times) for name, times in seconds.items()}
