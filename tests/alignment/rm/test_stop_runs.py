"""A run that is interrupted at the terminal."""

import signal

import pytest

from tests.alignment.rm.fault_runs import STACK, finish, settings


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGHUP, "SIGHUP")])
def test_ctrl_c_and_a_closed_terminal_save_and_end_the_run(number, name, tiny, tmp_path):
    flags = settings(tiny, tmp_path)
    shown = finish(flags, tmp_path, 1, sigterm={"step": 1, "number": number}).shown()
    assert f"stopped by {name} after update 2 of 12: checkpoint-2 is saved" in shown and STACK not in shown
    assert [path.name for path in (tmp_path / "out").glob("checkpoint-*")] == ["checkpoint-2"]
    assert "starts from: " + str(tmp_path / "out/checkpoint-2") in finish(flags, tmp_path, 1).shown()
