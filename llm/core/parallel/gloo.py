"""Training over several processes without a GPU: what Paddle's CPU build and gloo, which carries its messages, lack.

Groups of ranks that meet, tensor, sequence and pipeline parallelism; gloo_sharding.py does the same for sharding
stage 2 and 3. Every part names what is missing, so that it can go when Paddle brings it. With it every layout trains
on a CPU what it trains on GPUs; it is there to be correct, not to be fast.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import zlib

import paddle
import paddle.distributed as dist
from paddle.autograd import PyLayer
from paddle.base import core
from paddle.distributed import collective
from paddle.distributed.fleet.utils import hybrid_parallel_util

from llm.core.parallel import ranks

NEW_GROUP = collective._new_process_group_impl
GLOBAL_STORE = core.create_or_get_global_tcp_store
ARRIVALS = "arrivals at barriers"
PATIENCE, PATIENCE_WITH_NODES = 900, 45  # seconds
NAMES: dict[int, str] = {}  # of groups, by their objects
LINES: dict[str, core.ProcessGroup] = {}  # groups of two, by their names


# ---- groups


def global_store():
    """The store of all ranks, which the first one serves. Paddle would sleep for 3 seconds if that one is not ready."""
    host, port = os.environ["PADDLE_MASTER"].rsplit(":", 1)
    give_up = time.monotonic() + PATIENCE_WITH_NODES  # when Paddle's own attempts begin
    while dist.get_rank() > 0 and collective._default_store is None and time.monotonic() < give_up:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            break
        time.sleep(0.05)
    store = GLOBAL_STORE()
    if store.add(_process(dist.get_rank()), 0) == 0:
        store.add(_process(dist.get_rank()), os.getpid())
    return store


def _process(rank: int) -> str:
    """The name in the store of its number."""
    return f"process of rank {rank}"


def new_group(backend, store, rank: int, size: int, name: str, *arguments, **options):
    """In the store of all ranks, the first rank of a new group only says where the group's own store is."""
    if rank == 0:
        own, address = _open_store()
        store.set(f"store of {name}", address)
    else:
        host, port = store.get(f"store of {name}").decode().rsplit(":", 1)  # waits for it to be set
        own = core.TCPStore(host, int(port), False, 0)
    group = NEW_GROUP(backend, own, rank, size, name, *arguments, **options)
    NAMES[id(group)] = name
    return group


def _open_store() -> tuple[core.TCPStore, str]:
    """A store that this process serves, and where the others find it: at the address that the launcher gave this rank
    for the others to see, and any port that is free."""
    host = dist.ParallelEnv().current_endpoint.rsplit(":", 1)[0]
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    return core.TCPStore(host, port, True, 0), f"{host}:{port}"


# ---- collectives


def all_reduce_and_wait(group, *arguments):
    return group.all_reduce(*arguments, True)


def reduce_scatter(group, part, whole, operation, waits: bool):
    """Everybody reduces all of it and keeps its own part."""
    reduced = whole.clone()
    task = group.all_reduce(reduced, operation, True)
    paddle.assign(reduced.chunk(group.size(), axis=0)[group.rank()], part)
    return task


def barrier(group, *arguments):
    """Gloo gives up when a rank is 30 seconds late, for example while it writes a checkpoint, and Paddle has no setting
    for a longer wait. So all ranks first meet in their store. On one machine the processes of the others are seen to
    end; nobody reports a death on another machine, so the wait for that is shorter."""
    if group.size() == dist.get_world_size():
        store, size = collective._default_store, group.size()
        arrivals = store.add(ARRIVALS, 1)
        all_are_here = -(-arrivals // size) * size
        one_machine = os.environ.get("PADDLE_LOCAL_SIZE") == str(size)
        give_up = time.monotonic() + (PATIENCE if one_machine else PATIENCE_WITH_NODES)
        while store.add(ARRIVALS, 0) < all_are_here:
            ended = _ended_ranks(store, size) if one_machine else []
            if ended and store.add(ARRIVALS, 0) < all_are_here:  # they did not come before they ended
                raise RuntimeError(f"a barrier waits in vain for ranks that have ended: {', '.join(map(str, ended))}")
            if time.monotonic() > give_up:
                raise RuntimeError("a barrier timed out: not all ranks came to it")
            time.sleep(0.02)
    return core.ProcessGroup.barrier(group, *arguments)


def _ended_ranks(store: core.TCPStore, size: int) -> list[int]:
    processes = {rank: store.add(_process(rank), 0) for rank in range(size)}
    return [rank for rank, process in processes.items() if process and ranks.has_ended(process)]


# ---- tensor parallelism


def identity(x, *_):
    return paddle.assign(x)


def concatenated(x, rank: int, ranks: int, group: int, *_):
    return Concatenation.apply(x, rank, dist.get_group(group))


class Concatenation(PyLayer):
    """The ranks' parts of the last axis, side by side on all of them."""

    @staticmethod
    def forward(ctx, part, rank: int, group):
        ctx.rank, ctx.ranks = rank, group.nranks
        parts = []
        dist.all_gather(parts, part, group=group)
        return paddle.concat(parts, axis=-1)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.chunk(ctx.ranks, axis=-1)[ctx.rank].contiguous()


def broadcast_input_data(hybrid_group, *inputs, **named):
    """The first rank's batch to the others of its tensor-parallel group, in place."""
    for data in (inputs, named):
        hybrid_parallel_util._broadcast_nested_data(hybrid_group, "cpu", paddle.CPUPlace(), data)
    return inputs, named


# ---- pipeline parallelism


def never(tensor, ranks: int) -> bool:
    return False


def send_and_wait(group, tensor, target: int):
    return send(group, tensor, target, True)


def receive_and_wait(group, tensor, source: int):
    return receive(group, tensor, source, True)


def send(group, tensor, target: int, *waits: bool):
    return core.ProcessGroup.send(_line(group, group.rank(), target), tensor, 1, *waits)


def receive(group, tensor, source: int, *waits: bool):
    return core.ProcessGroup.recv(_line(group, source, group.rank()), tensor, 0, *waits)


def _line(group, source: int, target: int):
    """From one rank of a group to another, a group of these two. Gloo's messages have numbers that Paddle counts for a
    whole group: a stage in the middle, which has received some, would send with one that the next does not wait for."""
    name = f"line from {source} to {target} of {NAMES[id(group)]}"
    if name not in LINES:
        number = zlib.crc32(name.encode()) >> 1
        LINES[name] = new_group("gloo", collective._default_store, int(group.rank() == target), 2, name, None, number)
    return LINES[name]
