"""What a process does that is forked from one that has imported paddle and PaddleNLP already, which takes two thirds of
a short run's time. runs.py starts it."""

from __future__ import annotations

import gc
import json
import os
import runpy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from llm.core import library_in_parts

library_in_parts.prepare()  # before what imports PaddleNLP

from paddle.distributed import parallel

from llm.core.parallel import rank_failure, ranks


def run(variables: dict[str, str], folder: Path, log: Path, flags: list[str], faults: dict, script: Callable) -> None:
    """A script's main, with the faults of faulty_run.py, as Paddle's launcher would start it."""
    gc.freeze()  # what was imported before; PaddleNLP collects garbage in every run
    os.environ.update(variables)
    rank_failure.LAUNCHER_LOOKS = 0.0  # there is none
    parallel._global_parallel_env = None  # Paddle has read the variables before while it was imported
    os.chdir(folder)
    with log.open("w") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
            stream.reconfigure(line_buffering=True)
    if faults:
        from tests.alignment.rm import faulty_run  # reads the rank while it is imported

        ranks.run(partial(faulty_run.main, script=script), [json.dumps(faults), *flags])
    else:
        ranks.run(script, flags)


def run_script(path: str, argv: list[str]) -> None:
    """A file as Python starts it."""
    sys.argv = [path, *argv]
    runpy.run_path(path, run_name="__main__")
