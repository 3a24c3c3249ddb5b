"""A run that is interrupted at the terminal."""

import signal

import pytest

from tests.factories import twelve_updates
from tests.runs import STACK, running, train_ranks

pytestmark = pytest.mark.runs


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGHUP, "SIGHUP")])
def test_ctrl_c_and_a_closed_terminal_save_and_end_the_run(number, name, tiny, tmp_path):
    flags = twelve_updates(tiny, tmp_path)
    shown = train_ranks(flags, tmp_path, 1, sigterm={"step": 1, "number": number})
    assert f"stopped by {name} after update 2 of 12: checkpoint-2 is saved" in shown and STACK not in shown
    assert [path.name for path in (tmp_path / "out").glob("checkpoint-*")] == ["checkpoint-2"]
    assert "starts from: " + str(tmp_path / "out/checkpoint-2") in train_ranks(flags, tmp_path, 1)


@pytest.mark.distributed
def test_ctrl_c_at_the_launcher_saves_and_ends_the_run(tiny, tmp_path):
    """Its ranks are not of the terminal's group; it sends them a SIGTERM."""
    flags = twelve_updates(tiny, tmp_path)
    with running(flags, tmp_path, slow={"seconds": 0.5}) as run:
        run.wait_for_line("update 4/12")
        run.process.send_signal(signal.SIGINT)
        assert run.end() == signal.SIGINT  # the launcher's own exit code
        assert "stopped by SIGTERM after update" in run.shown(0) and "is saved" in run.shown(0)
        assert STACK not in run.everything()
