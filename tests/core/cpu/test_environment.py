"""What is set before paddle is imported: only what the user's environment leaves open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm.core.cpu import environment as runtime

REPOSITORY = Path(__file__).resolve().parents[3]
NAMES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "KMP_BLOCKTIME", "MKL_DEBUG_CPU_TYPE")
# Tells what prepare() returned, what the environment holds afterwards, and which modules came with it.
SCRIPT = f"""
import json, os, sys
from llm.core.cpu import environment as runtime
chosen = runtime.prepare()
again = runtime.prepare()
environment = {{name: os.environ[name] for name in {NAMES!r} if name in os.environ}}
print(json.dumps([chosen, again, environment, sorted(name.partition(".")[0] for name in sys.modules)]))
"""


def prepared(**variables: str) -> tuple[dict, dict, dict, list]:
    """prepare() in a process of its own, whose environment has these of the names and no others."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment.pop("PADDLE_LOCAL_SIZE", None)
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**environment, **variables},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(result.stdout)


@pytest.mark.runs
def test_nothing_of_paddle_is_imported():
    """Its libraries read the environment while they are imported, so afterwards it would be too late."""
    *_, modules = prepared()
    assert {"llm"} <= set(modules)
    assert not {"paddle", "paddlenlp", "numpy"} & set(modules)


@pytest.mark.runs
def test_what_the_environment_leaves_open_is_set_once_and_told():
    chosen, again, environment, _ = prepared()
    assert chosen == environment
    assert {"KMP_BLOCKTIME", "MKL_NUM_THREADS"} <= chosen.keys()
    assert again == {}


@pytest.mark.runs
def test_values_of_the_user_are_never_changed():
    mine = dict(zip(NAMES, ("3", "5", "17", "4"), strict=True))
    chosen, _, environment, _ = prepared(**mine)
    assert chosen == {}
    assert environment == mine
    for name in NAMES:
        chosen, _, environment, _ = prepared(**{name: mine[name]})
        assert environment[name] == mine[name] and name not in chosen


@pytest.mark.runs
def test_threads_that_the_user_set_for_openmp_hold_for_mkl():
    """MKL follows OMP_NUM_THREADS unless it has a number of its own, which must not be given behind the user's back."""
    chosen, _, environment, _ = prepared(OMP_NUM_THREADS="1")
    assert "MKL_NUM_THREADS" not in chosen and "MKL_NUM_THREADS" not in environment


@pytest.mark.runs
def test_ranks_on_one_machine_share_its_cores():
    """With a core and more for each rank, all threads of all ranks together are no more than the cores."""
    cores = len(os.sched_getaffinity(0))
    for ranks in (1, 2, 4 * cores):
        chosen, *_ = prepared(PADDLE_LOCAL_SIZE=str(ranks))
        assert int(chosen["MKL_NUM_THREADS"]) == max(cores // ranks, 1)


@pytest.mark.parametrize(
    "cpu, wanted",
    [
        ("vendor_id : AuthenticAMD\nflags : avx2", "5"),
        ("vendor_id : AuthenticAMD\nflags : avx2 avx512f", "7"),
        ("vendor_id : GenuineIntel\nflags : avx512f", None),
        ("", None),
    ],
)
def test_mkl_is_told_the_instructions_of_amd_processors_alone(monkeypatch, cpu, wanted):
    monkeypatch.setattr(runtime, "cpu_description", lambda: cpu)
    monkeypatch.setattr(os, "environ", {})
    assert runtime.prepare().get("MKL_DEBUG_CPU_TYPE") == wanted


# Waits until its parent has ended, and tells whether it was sent a SIGTERM then. Such a child is started by its parent.
CHILD = """
import os, signal, time
from llm.core.cpu import environment as runtime
parent = os.getppid()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
runtime.prepare()
print("ready", flush=True)
while os.getppid() == parent:
    time.sleep(0.01)
seconds = 10 if "PADDLE_LOCAL_SIZE" in os.environ else 0.2
print("SIGTERM" if signal.sigtimedwait({signal.SIGTERM}, seconds) else "nothing", flush=True)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.mark.runs
@pytest.mark.parametrize("variables, sent", [({"PADDLE_LOCAL_SIZE": "2"}, "SIGTERM"), ({}, "nothing")])
def test_ranks_are_told_when_their_launcher_is_killed(variables, sent):
    """And other processes are not: one that was started in the background outlives its shell."""
    environment = {name: value for name, value in os.environ.items() if name != "PADDLE_LOCAL_SIZE"}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD],
        env={**environment, **variables},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        assert parent.stdout.read() == f"{sent}\n"
