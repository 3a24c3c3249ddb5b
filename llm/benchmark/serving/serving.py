"""A server under many clients: its throughput against that of the same scores without a server, and its answers."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice

import numpy as np

from llm.benchmark import children
from llm.benchmark.report import ONE, TEXT, WHOLE, describe, progress, show, table
from llm.benchmark.serving.clients import Answers, ask
from llm.core.console import count_of
from llm.core.paths import find_files
from llm.core.records.json_stream import read_values
from llm.core.records.problem import Problem

OFFLINE = [sys.executable, "-m", "llm.benchmark.serving.offline"]
START_SECONDS, STOP_SECONDS = 120, 60
COLUMNS = {
    "way": ("", TEXT),
    "solutions_per_second": ("solutions/s", ONE),
    "requests": ("requests", WHOLE),
    "median_milliseconds": ("median ms", WHOLE),
    "slowest_milliseconds": ("99th percentile ms", WHOLE),
}


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    solutions = read(arguments.DATA, arguments.solutions)
    job = {"model": arguments.MODEL, "solutions": solutions, "seconds": min(5.0, arguments.seconds)}
    progress("without a server")
    before = children.run(OFFLINE, job)
    with served(arguments.MODEL) as port:
        clients, of_request = arguments.clients, arguments.of_request
        ask(port, solutions, clients, of_request, min(2.0, arguments.seconds))  # in which memory is touched
        progress(f"{clients} clients for {arguments.seconds:g} seconds")
        answers, seconds = ask(port, solutions, clients, of_request, arguments.seconds)
    progress("without a server, again")
    offline = max(before, children.run(OFFLINE, job), key=lambda run: run["solutions_per_second"])
    rows = [figures("server", answers, seconds), {name: None for name in COLUMNS} | {"way": "no server"}]
    rows[1]["solutions_per_second"] = offline["solutions_per_second"]
    share = rows[0]["solutions_per_second"] / offline["solutions_per_second"]
    worst = largest_difference(answers, before["scores"])
    refused = {status: count for status, count in answers.statuses.items() if status != 200}
    show(
        f"{count_of(len(solutions), 'solution')} of {', '.join(arguments.DATA)}; {arguments.clients} clients, "
        f"{count_of(arguments.of_request, 'solution')} in a request\n{arguments.MODEL}: {before['scorer']}\n"
        + describe(set_here),
        table(COLUMNS, rows),
        f"the server reaches {share:.0%} of the throughput without it (all solutions in one call, the better of two "
        f"measurements, before and after). The largest difference of a score is {worst:.1e}. Answers that are not "
        f"200, by status: {refused or 'none'}.",
        outcome={
            "benchmark": "serving",
            "clients": arguments.clients,
            "share_of_offline": share,
            "largest_difference": worst,
            "statuses": dict(answers.statuses),
            "server": rows[0],
            "offline_solutions_per_second": offline["solutions_per_second"],
        },
    )


def read(data: list[str], count: int) -> list[dict]:
    """The first solutions of the files, as they are sent."""
    found: list[dict] = []
    for file in find_files(data):
        for _, value in islice(read_values(file), count - len(found)):
            if isinstance(value, Problem):
                raise ValueError(str(value))
            found.append(value)
    if not found:
        raise ValueError(f"{', '.join(data)}: no solution. Give records as for `python -m llm score`.")
    return found


@contextlib.contextmanager
def served(model: str) -> Iterator[int]:
    """The port of a server of the model, which ends with the block; what it says is shown where it fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llm", "serve", model, "--port", str(port), "--quiet"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=dict(os.environ))
        try:
            until = time.monotonic() + START_SECONDS
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise ValueError(f"{' '.join(command)} does not answer:\n{log.read().decode(errors='replace')}")
                time.sleep(0.1)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def figures(way: str, answers: Answers, seconds: float) -> dict:
    if not answers.seconds:
        raise ValueError(f"the server answered no request; statuses: {dict(answers.statuses)}")
    median, slowest = np.percentile(answers.seconds, [50, 99])
    return {
        "way": way,
        "solutions_per_second": len(answers.scores) / seconds,
        "requests": answers.statuses.total(),
        "median_milliseconds": 1000 * float(median),
        "slowest_milliseconds": 1000 * float(slowest),
    }


def largest_difference(answers: Answers, offline: list[dict]) -> float:
    """Of the probability of a step, or of the score of an answer, over all that was answered."""
    differences = [0.0]
    for place, found in answers.scores:
        wanted = offline[place]
        name = "steps" if wanted.get("steps") is not None else "score"
        differences.append(float(np.abs(np.subtract(found[name], wanted[name])).max()))
    return max(differences)
