"""A run that is interrupted at the terminal."""

import signal

import pytest

from tests.factories import twelve_updates
from tests.runs import STACK, train_ranks

pytestmark = pytest.mark.runs


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGHUP, "SIGHUP")])
def test_ctrl_c_and_a_closed_terminal_save_and_end_the_run(number, name, tiny, tmp_path):
    flags = twelve_updates(tiny, tmp_path)
    shown = train_ranks(flags, tmp_path, 1, sigterm={"step": 1, "number": number})
    assert f"stopped by {name} after update 2 of 12: checkpoint-2 is saved" in shown and STACK not in shown
    assert [path.name for path in (tmp_path / "out").glob("checkpoint-*")] == ["checkpoint-2"]
    assert "starts from: " + str(tmp_path / "out/checkpoint-2") in train_ranks(flags, tmp_path, 1)
