"""Two launchers that meet on loopback, as they would on two machines that share a disk."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.alignment.rm.layout_runs import LAYOUTS, ONE, assert_same_training, write_config
from tests.alignment.rm.runs import exit_code, logs_of, start_launch


@pytest.fixture
def start(tmp_path):
    """start(settings): two launchers of one rank each, and where each of them logs; the second may get more flags."""
    launchers: list[subprocess.Popen] = []

    def start_both(more: tuple[str, ...] = (), **settings) -> list[tuple[subprocess.Popen, Path]]:
        config = write_config(tmp_path / "run", **settings)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            master = f"127.0.0.1:{probe.getsockname()[1]}"
        folders = [tmp_path / f"node{rank}" for rank in (0, 1)]
        for rank, folder in enumerate(folders):
            folder.mkdir()
            node = ("--nnodes", "2", "--master", master, "--rank", str(rank))
            launchers.append(start_launch([str(config), *(more if rank else ())], folder, 1, *node))
        return list(zip(launchers, folders, strict=True))

    yield start_both
    for launcher in launchers:
        launcher.terminate()
        launcher.wait()


def test_two_nodes_train_what_one_process_trains(start, run_of, data_sets, tmp_path):
    for launcher, folder in start(**data_sets["steps"], **LAYOUTS["stage1"][1]):
        assert exit_code(launcher, 180) == 0, logs_of(folder)
    assert_same_training(run_of("steps", ONE), tmp_path / "run" / "out")


def test_nodes_that_read_other_data_or_do_not_share_a_disk_are_refused(start, data_sets, tmp_path):
    """Each would train on its own, and save half of a checkpoint that nobody can put together."""
    settings = data_sets["steps"]
    more = "--output_dir", str(tmp_path / "elsewhere"), "--train_dataset_path", str(settings["dev_dataset_path"])
    nodes = start(more, **settings, **LAYOUTS["stage1"][1])
    assert all(exit_code(launcher, 120) for launcher, _ in nodes)
    shown = (nodes[0][1] / "log").read_text()
    assert "the processes are not of one run" in shown and "data: " in shown
    assert "output_dir: ranks 1 do not see what rank 0 writes" in shown
    assert not list(tmp_path.glob("*/.seen-by-all*"))


def test_where_a_rank_is_killed_the_other_node_ends_and_says_why(start, data_sets):
    """Not after half an hour of silence, and with no process left behind on either node."""
    nodes = start(**data_sets["steps"], **LAYOUTS["stage1"][1], max_steps=100_000, eval_steps=100_000)
    (first, log), (second, _) = nodes
    wait_for("update 2/", log / "log", first)
    ranks = [rank for launcher, _ in nodes for rank in children(launcher.pid)]
    assert len(ranks) == 2
    (killed,) = children(second.pid)
    os.kill(killed, signal.SIGKILL)
    codes = [exit_code(launcher, 60) for launcher, _ in nodes]
    assert all(codes), codes
    assert "error: rank 0 cannot go on: another rank has ended" in (log / "log").read_text()
    assert not any(is_running(rank) for rank in ranks)


def wait_for(text: str, log: Path, process: subprocess.Popen) -> None:
    until = time.monotonic() + 120
    while text not in log.read_text():
        assert process.poll() is None and time.monotonic() < until, logs_of(log.parent)
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
