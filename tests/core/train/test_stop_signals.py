"""Signals that end a training after the current update."""

import signal
import subprocess
import sys

import pytest

from llm.core.console import plain_errors

WAITS = """
import os, signal, sys
from llm.core.train.stop_signals import StopSignals
signals = StopSignals()
with signals.watched():
    for number in sys.argv[1:]:
        os.kill(os.getpid(), int(number))
print(signals.name, "went on")
"""


def run(*numbers: int, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", WAITS, *[str(int(number)) for number in numbers]]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


@pytest.mark.runs
@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP"), (signal.SIGINT, "Ctrl-C")]
)
def test_a_signal_is_noted_and_the_work_goes_on(number, name):
    done = run(number)
    assert done.returncode == 0 and done.stdout == f"{name} went on\n"


@pytest.mark.runs
def test_a_second_ctrl_c_ends_at_once_without_a_traceback():
    """Not one that a launcher sends besides, as a SIGTERM."""
    assert run(signal.SIGINT, signal.SIGTERM, signal.SIGTERM).returncode == 0
    done = run(signal.SIGINT, signal.SIGINT)
    assert done.returncode == 130 and done.stdout == ""
    assert "ended at once" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.runs
def test_a_signal_that_is_ignored_from_outside_stays_ignored():
    done = run(signal.SIGHUP, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert done.stdout == "None went on\n"


@pytest.mark.runs
def test_afterwards_signals_do_what_they_did_before():
    done = subprocess.run(
        [sys.executable, "-c", WAITS + "os.kill(os.getpid(), signal.SIGTERM)"], capture_output=True, timeout=60
    )
    assert done.returncode == -signal.SIGTERM


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("(External) KeyboardInterrupt")])
def test_ctrl_c_outside_of_a_training_is_one_line(error, capsys):
    """Also where it comes up through Paddle's C++ code."""
    with pytest.raises(SystemExit) as stop, plain_errors(ValueError):
        raise error
    assert stop.value.code == 130 and capsys.readouterr().err == "\nstopped by Ctrl-C\n"


def test_other_errors_of_the_library_are_not_taken_for_ctrl_c():
    with pytest.raises(RuntimeError, match="out of memory"), plain_errors(ValueError):
        raise RuntimeError("out of memory")
