"""Two launchers that meet on loopback, as they would on two machines that share a disk."""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.alignment.rm.layout_runs import LAYOUTS, ONE, assert_same_training, flags_of
from tests.runs import SCRIPT, Run, ends_of_ranks, free_ports, started

pytestmark = [pytest.mark.runs, pytest.mark.distributed]


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., list[Run]]]:
    """start(settings): two launchers of one rank each."""
    with contextlib.ExitStack() as launchers:
        yield functools.partial(start_both, launchers, tmp_path)


def start_both(launchers: contextlib.ExitStack, folder: Path, **settings) -> list[Run]:
    flags = flags_of(folder / "run", **settings)
    (port,) = free_ports(1)
    runs = []
    for rank in (0, 1):
        node = ("--nnodes", "2", "--master", f"127.0.0.1:{port}", "--rank", str(rank))
        (folder / f"node{rank}").mkdir()
        runs.append(launchers.enter_context(started([str(SCRIPT), *flags], folder / f"node{rank}", 1, node)))
    return runs


def test_two_nodes_train_what_one_process_trains(start, run_of, data_sets, tmp_path):
    for node in start(**data_sets["steps"], **LAYOUTS["stage1"][1]):
        assert node.end() == 0, node.everything()
    assert_same_training(run_of("steps", ONE), tmp_path / "run" / "out")


def test_nodes_that_read_other_data_or_do_not_share_a_disk_are_refused(data_sets, tmp_path):
    """Each would train on its own, and save half of a checkpoint that nobody can put together. Without launchers."""
    settings = data_sets["steps"]
    more = ["--output_dir", str(tmp_path / "elsewhere"), "--train_dataset_path", str(settings["dev_dataset_path"])]
    flags = flags_of(tmp_path / "run", **settings, **LAYOUTS["stage1"][1])
    out = tmp_path / "run" / "out"
    out.mkdir(parents=True)
    (out / ".seen-by-all-of-a-run-that-was-killed").touch()
    for end in ends_of_ranks(flags, tmp_path, own=([], more)):
        assert end.code == 2
        assert "the processes do not belong to one run" in end.shown and "data: " in end.shown
        assert "output_dir: ranks 1 do not see what rank 0 writes" in end.shown
    assert not list(tmp_path.rglob(".seen-by-all*"))


def test_where_a_rank_is_killed_the_other_node_ends_and_says_why(start, data_sets):
    """Not after half an hour of silence, and with no process left behind on either node."""
    nodes = start(**data_sets["steps"], **LAYOUTS["stage1"][1], max_steps=100_000, eval_steps=100_000)
    for node in nodes:
        node.find_ranks()
    nodes[0].wait_for_line("update 2/")
    nodes[1].send(signal.SIGKILL, 0)
    codes = [node.end() for node in nodes]
    assert all(codes), codes
    assert "error: rank 0 cannot continue: another rank has ended" in nodes[0].shown()
