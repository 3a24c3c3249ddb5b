"""Measurements of this project and of another one in turns, each in a process of its own."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import NamedTuple

from llm.benchmark import children
from llm.benchmark.report import progress


class Ours(NamedTuple):
    name: str
    command: list[str]
    job: dict


def take_turns(
    ours: Ours, peer_script: Path, peer_jobs: dict[str, dict], arguments: argparse.Namespace, set_here: dict[str, str]
) -> dict[str, list[dict]]:
    """The results of all rounds by name. The other side gets the environment as the user has it, without what this
    project sets for itself; both have the same number of threads."""
    as_given = {name: value for name, value in os.environ.items() if name not in set_here}
    peer_command = [str(arguments.peer_python), "-I", str(peer_script)]
    threads = str(arguments.threads)
    if arguments.float32_only:
        peer_jobs = {name: job for name, job in peer_jobs.items() if "bfloat16" not in name}
    sides = {ours.name: (ours.command, ours.job, os.environ | {"MKL_NUM_THREADS": threads})} | {
        name: (peer_command, job, as_given | {"OMP_NUM_THREADS": threads}) for name, job in peer_jobs.items()
    }
    results: dict[str, list[dict]] = {name: [] for name in sides}
    for number in range(1, arguments.rounds + 1):
        for name, (command, job, environment) in sides.items():
            progress(f"round {number} of {arguments.rounds}: {name}")
            results[name].append(children.run(command, job | {"started": time.time()}, environment))
    return results


def left_out(arguments: argparse.Namespace) -> str:
    return " Its bfloat16 was left out." if arguments.float32_only else ""
