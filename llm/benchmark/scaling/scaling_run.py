"""One rank of a training run of scaling.py, by the task's own script, with what it sends and holds counted.

    python -m paddle.distributed.launch --nproc_per_node N llm/benchmark/scaling/scaling_run.py CONFIG.json RESULT \\
        MODULE

One update is measured, after another in which everything has its place. RESULT.RANK.json gets what was counted.
MODULE is that of the script.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from llm.core import library_in_parts
from llm.core.cpu import environment

if __name__ == "__main__":
    environment.prepare()
    library_in_parts.prepare()

import paddle.distributed as dist
from paddle.base import core
from paddlenlp.trainer import trainer
from paddlenlp.trainer.trainer_callback import TrainerCallback

from llm.core import patches
from llm.core.rows import batch as batch_module
from llm.core.run import work

MEASURED_UPDATE = 2
# Methods of a process group that send tensors, and which of their arguments is as large as what the ranks make together
SENDING = {
    "all_reduce": 0,
    "allreduce": 0,
    "reduce": 0,
    "broadcast": 0,
    "all_gather": 1,
    "all_gather_into_tensor": 0,
    "reduce_scatter": 1,
    "reduce_scatter_tensor": 1,
    "send": 0,
}
CALLED = {"allreduce": "all_reduce", "all_gather_into_tensor": "all_gather", "reduce_scatter_tensor": "reduce_scatter"}


class Measure(TrainerCallback):
    """Counts one update: {kind: bytes} of what Paddle's Python code hands to a process group, all bytes that this rank
    writes (what Paddle's C++ code sends is seen there only), and memory of Paddle's allocator."""

    sent: Counter = Counter()
    shapes: set[tuple[int, int]] = set()  # of micro-batches
    is_on = False

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == MEASURED_UPDATE - 1:
            dist.barrier()
            Measure.is_on = True
            self.written = bytes_written()
            core.host_memory_stat_reset_peak_value("Allocated", 0)

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == MEASURED_UPDATE:
            Measure.is_on = False
            outcome = {
                "shapes": sorted(self.shapes),
                "payload": dict(self.sent),
                "written": bytes_written() - self.written,
                "peak": core.host_memory_stat_peak_value("Allocated", 0),
            }
            Path(f"{sys.argv[2]}.{dist.get_rank()}.json").write_text(json.dumps(outcome), encoding="utf-8")


def bytes_written() -> int:
    """By this process so far, into files and connections."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())  # Linux
    return int(fields["wchar"])


def count_sends() -> None:
    """Every process group counts what goes through it from now on."""
    for name, position in SENDING.items():
        for method in (name, f"{name}_on_calc_stream"):
            for group in (core.ProcessGroupGloo, core.ProcessGroup):
                if method in vars(group):
                    setattr(group, method, counted(CALLED.get(name, name), position, getattr(group, method)))


def counted(kind: str, position: int, method):
    def call(self, *arguments):
        if Measure.is_on:
            tensors = arguments[position]
            for tensor in tensors if isinstance(tensors, list) else [tensors]:
                Measure.sent[kind] += tensor.size * tensor.element_size()
        was_on, Measure.is_on = Measure.is_on, False  # some call each other
        outcome = method(self, *arguments)
        Measure.is_on = was_on
        return outcome

    return call


def collate(*arguments, **named):
    batch = batch_module.collate(*arguments, **named)
    Measure.shapes.add(batch["input_ids"].shape)
    return batch


if __name__ == "__main__":
    work.collate = collate
    patches._cpu_layers = lambda compiled: []  # PaddleNLP's own layers keep what they keep on a GPU
    patches.apply_to_processes()  # gloo's collectives are counted, too
    patches.apply_to_processes = patches.apply_to_library
    count_sends()
    trainer.DEFAULT_CALLBACKS.append(Measure)
    import_module(sys.argv[3]).main([sys.argv[1]])
