"""Ranks without a GPU compute together what numpy, or one process, computes alone."""

from __future__ import annotations

import contextlib
import itertools
import json

import paddle
import pytest
from paddle.base import core
from paddle.distributed import collective
from paddle.distributed.fleet.meta_parallel import tensor_parallel
from paddle.distributed.fleet.meta_parallel.sharding import group_sharded_storage

from llm.core import patches
from llm.core.cpu import environment
from llm.core.parallel import gloo
from tests.core.parallel import gloo_ranks
from tests.runs import SECONDS, forked


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[int, list[dict]]:
    """Of two launches at once, one of four ranks and one of two: what their ranks wrote."""
    folders = {ranks: tmp_path_factory.mktemp(f"ranks{ranks}") for ranks in (4, 2)}
    checks = {4: list(gloo_ranks.CHECKS), 2: ["groups_add_up_their_own_members"]}
    with contextlib.ExitStack() as launches:
        processes = [
            launches.enter_context(forked([str(folder), *checks[ranks]], folder, ranks, script=gloo_ranks.main))
            for ranks, folder in folders.items()
        ]
        for process, _ in itertools.chain(*processes):
            process.join(SECONDS)
    return {
        ranks: [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
        for ranks, folder in folders.items()
    }


@pytest.mark.runs
@pytest.mark.distributed
@pytest.mark.parametrize("check", gloo_ranks.CHECKS)
def test_four_ranks(found, check):
    """Two tensor-parallel pairs, which are two pipeline stages; sharding takes all four."""
    assert len(found[4]) == 4
    for rank, results in enumerate(found[4]):
        assert results.get(check) == "right", f"rank {rank}: {results.get(check, 'did not come so far')}"


@pytest.mark.runs
@pytest.mark.distributed
def test_two_launches_at_once_do_not_meet(found):
    assert found[2] == 2 * [{"groups_add_up_their_own_members": "right"}]


def patched() -> list:
    return [
        collective._new_process_group_impl,
        core.ProcessGroupGloo.barrier,
        paddle._C_ops.c_identity,
        tensor_parallel.broadcast_input_data,
        group_sharded_storage.ParamStorage.add_rank_params,
    ]


@pytest.mark.parametrize("ranks, with_gpus", [("1", False), ("2", True)])
def test_nothing_changes_for_one_process_or_with_gpus(monkeypatch, ranks, with_gpus):
    before = patched()
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", ranks)
    monkeypatch.setattr(environment, "paddle_has_cuda", lambda: with_gpus)
    patches.apply_to_processes()
    assert patched() == before


def test_ranks_of_other_nodes_find_a_store_by_the_address_that_the_launcher_gave(monkeypatch):
    monkeypatch.setenv("PADDLE_CURRENT_ENDPOINT", "127.0.0.3:6170")
    first, address = gloo._open_store()
    host, port = address.split(":")
    assert host == "127.0.0.3"
    first.set("key", "value")
    second = core.TCPStore(host, int(port), False, 0)
    assert second.get("key") == b"value"
