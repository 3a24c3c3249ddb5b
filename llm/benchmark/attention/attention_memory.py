"""Peak memory of one attention, in a process of its own: the job of attention.py from stdin as JSON."""

from __future__ import annotations

from llm.core import library_in_parts
from llm.core.cpu import environment

if __name__ == "__main__":
    environment.prepare()
    library_in_parts.prepare()

import json
import sys

import numpy as np
import paddle

from llm.benchmark.attention.attention import turn
from llm.benchmark.children import peak_bytes, resident_bytes


def measure(job: dict) -> dict:
    paddle.set_device("cpu")
    sizes = job["heads"], job["head_dim"]
    turn(job["variant"], np.arange(8, 0, -1), *sizes)()  # libraries and threads are there from now on
    run = turn(job["variant"], np.array(job["end_row"]), *sizes)
    before = resident_bytes()
    run()
    peak = peak_bytes()
    return {"extra_bytes": peak - before if peak and before else None}


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
