"""Where the time of an update goes, by Paddle's profiler."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from paddle.profiler import Profiler, ProfilerTarget

# Of the profile, (kind of event, beginning of its name). The kinds nest, but these do not overlap: products are
# counted where they are launched, the compiled kernels, which launch none, as a whole.
MATRICES = [("DygraphKernelLaunch", "matmul")]
OPTIMIZER = [("Optimization", "Optimization Step")]
ATTENTION = [("UserDefined", "attention"), ("Operator", "Global_GradNodePyLayer__Attention")]
LAYERS = [
    ("Forward", "LlamaRMSNorm"),
    ("UserDefined", "layers"),
    *(("Operator", f"Global_GradNodePyLayer__{kernel}") for kernel in ("RmsNorm", "Rotate", "Swiglu")),
]


def parts(update: Callable[[], object], compiled: bool) -> dict[str, float | None]:
    """Shares of one update. Without the compiled kernels the backward pass of attention and of the small layers is made
    of Paddle's operations that cannot be told from each other, so both are None: their products count as matrices, the
    rest of them as rest."""
    seconds, total = _events(update)
    groups = {"matrices": MATRICES, "attention": ATTENTION, "layers": LAYERS, "optimizer": OPTIMIZER}
    shares: dict[str, float | None] = {
        name: sum(seconds[kind, event] for kind, event in seconds if _is_of(kind, event, group)) / total
        for name, group in groups.items()
    }
    if not compiled:
        shares["attention"] = shares["layers"] = None
    return {**shares, "rest": 1 - sum(share for share in shares.values() if share is not None)}


def _is_of(kind: str, event: str, group: list[tuple[str, str]]) -> bool:
    return any(kind == wanted and event.startswith(beginning) for wanted, beginning in group)


def _events(update: Callable[[], object]) -> tuple[Counter, float]:
    """({(kind, name): seconds}, seconds of all)"""
    profiler = Profiler(targets=[ProfilerTarget.CPU], on_trace_ready=lambda _: None)  # else it writes where it runs
    profiler.start()
    begin = time.perf_counter()
    update()
    total = time.perf_counter() - begin
    profiler.stop()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export(str(trace), format="json")
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    seconds: Counter = Counter()
    for event in events:
        if "dur" in event:
            seconds[event["cat"], event["name"].split("[")[0]] += float(event["dur"]) / 1e6
    return seconds, total
