"""What test_gloo.py starts as main([FOLDER, CHECK ...]): every rank compares its part of each check with numpy or with
one process, and writes {check: "right" or what was wrong} into FOLDER/its-number.json.

Tensor parallelism takes pairs of ranks, pipelines the pairs.
"""

from __future__ import annotations

import json
import time
import traceback
from pathlib import Path

import numpy as np
import paddle
import paddle.distributed as dist
from paddle.base import core
from paddle.distributed import collective, fleet, sharding
from paddle.distributed.fleet.meta_parallel import (
    ColumnParallelLinear,
    LayerDesc,
    PipelineLayer,
    RowParallelLinear,
    tensor_parallel,
)
from paddle.distributed.fleet.utils import sequence_parallel_utils

from llm.core import patches

CHECKS = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


def numbers(seed: int, *shape: int) -> np.ndarray:
    """The same on all ranks."""
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def equal(found, wanted) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-4, atol=1e-5)


def tensor_group():
    return fleet.get_hybrid_communicate_group().get_model_parallel_group()


def pipeline_group():
    return fleet.get_hybrid_communicate_group().get_pipe_parallel_group()


def groups():
    """Those with several ranks."""
    return [group for group in (tensor_group(), pipeline_group()) if group.nranks > 1]


# ---- groups and collectives


@check
def groups_add_up_their_own_members():
    for group in groups():
        total = paddle.to_tensor([float(dist.get_rank())])
        dist.all_reduce(total, group=group)
        equal(total, [sum(group.ranks)])


@check
def sums_on_the_stream():
    for group in groups():
        total = paddle.to_tensor(numbers(dist.get_rank(), 3, 2))
        dist.stream.all_reduce(total, group=group, use_calc_stream=True)
        equal(total, sum(numbers(rank, 3, 2) for rank in group.ranks))


@check
def reduce_scatter():
    for group in groups():
        part = paddle.empty([2, 3])
        whole = paddle.to_tensor(numbers(dist.get_rank(), 2 * group.nranks, 3))
        before = whole.numpy()
        dist.reduce_scatter(part, whole, group=group)
        total = sum(numbers(rank, 2 * group.nranks, 3) for rank in group.ranks)
        equal(part, np.split(total, group.nranks)[group.rank])
        equal(whole, before)


@check
def all_ranks_have_come_before_gloo_waits_for_them():
    """Gloo waits for 30 seconds only; the last rank is made late enough for the others to be there first."""
    store, own = collective._default_store, core.ProcessGroup.barrier
    present = []

    def barrier(group, *arguments):
        present.append(store.add("present", 0))
        return own(group, *arguments)

    core.ProcessGroup.barrier = barrier
    for _ in range(2):
        if dist.get_rank() == dist.get_world_size() - 1:
            time.sleep(0.5)
        store.add("present", 1)
        dist.barrier()
    core.ProcessGroup.barrier = own
    first, second = present
    assert first >= dist.get_world_size() and second == 2 * dist.get_world_size(), present


# ---- tensor and sequence parallelism


@check
def a_batch_reaches_all_ranks_of_a_tensor_group():
    hybrid = fleet.get_hybrid_communicate_group()
    batch, mask = (paddle.to_tensor(numbers(dist.get_rank() + seed, 4, 3)) for seed in (0, 50))
    tensor_parallel.broadcast_input_data(hybrid, batch, mask=mask)
    tensor_parallel.broadcast_input_data(hybrid)
    source = tensor_group().ranks[0]
    equal(batch, numbers(source, 4, 3))
    equal(mask, numbers(source + 50, 4, 3))


def parallel_layers(gathered: bool):
    """x [6, 8] through [8, 12] divided by columns and [12, 8] divided by rows; the first alone if it gathers."""
    group = tensor_group()
    first_8O, second_O8 = numbers(1, 8, 12), numbers(2, 12, 8)
    columns = ColumnParallelLinear(8, 12, has_bias=False, gather_output=gathered)
    columns.weight.set_value(np.split(first_8O, group.nranks, axis=1)[group.rank])
    rows = RowParallelLinear(12, 8, has_bias=False, input_is_parallel=True)
    rows.weight.set_value(np.split(second_O8, group.nranks, axis=0)[group.rank])
    x = paddle.to_tensor(numbers(3, 6, 8), stop_gradient=False)
    return group, x, columns, rows, first_8O, second_O8


@check
def columns_and_rows_are_one_matrix():
    group, x, columns, rows, first_8O, second_O8 = parallel_layers(gathered=False)
    y = rows(columns(x))
    gradient = numbers(4, 6, 8)
    (y * paddle.to_tensor(gradient)).sum().backward()
    equal(y, x.numpy() @ first_8O @ second_O8)
    equal(x.grad, gradient @ second_O8.T @ first_8O.T)
    own = np.split(x.numpy().T @ gradient @ second_O8.T, group.nranks, axis=1)[group.rank]
    equal(columns.weight.grad, own)


@check
def gathered_columns_are_one_matrix():
    group, x, columns, _, first_8O, _ = parallel_layers(gathered=True)
    y = columns(x)
    gradient = numbers(4, 6, 12)
    (y * paddle.to_tensor(gradient)).sum().backward()
    equal(y, x.numpy() @ first_8O)
    equal(x.grad, gradient @ first_8O.T)
    equal(columns.weight.grad, np.split(x.numpy().T @ gradient, group.nranks, axis=1)[group.rank])


@check
def operators_of_sequence_parallelism():
    group = tensor_group()
    ranks, rank = group.nranks, group.rank
    length = 3 * ranks

    def own(whole):
        return np.split(whole, ranks)[rank]

    wholes = [numbers(member, length, 2) for member in group.ranks]  # another on every rank
    total = sum(wholes)
    parts = [numbers(member + 50, 3, 2) for member in group.ranks]
    cases = {  # operator: its input, what comes out, the gradient that comes in, what goes back
        "ScatterOp": (wholes[0], own(wholes[0]), parts[rank], np.concatenate(parts)),
        "GatherOp": (parts[rank], np.concatenate(parts), wholes[0], own(wholes[0])),
        "AllGatherOp": (parts[rank], np.concatenate(parts), wholes[rank], own(total)),
        "ReduceScatterOp": (wholes[rank], own(total), parts[rank], np.concatenate(parts)),
    }
    for name, (given, wanted, gradient, wanted_gradient) in cases.items():
        x = paddle.to_tensor(given, stop_gradient=False)
        y = getattr(sequence_parallel_utils, name).apply(x)
        equal(y, wanted)
        y.backward(paddle.to_tensor(gradient))
        equal(x.grad, wanted_gradient)


# ---- pipeline


class Layer(paddle.nn.Layer):
    def __init__(self, seed: int):
        super().__init__()
        self.linear = paddle.nn.Linear(8, 8, bias_attr=False)
        self.linear.weight.set_value(numbers(seed, 8, 8) / 3)

    def forward(self, x):
        return paddle.tanh(self.linear(x))


def squared_error(y, target):
    return (y - target).square().mean()


@check
def a_pipeline_trains_as_one_process():
    """Four micro-batches, so that activations and gradients cross between the stages; three steps, so that the later
    losses depend on the gradients."""
    x, target = numbers(5, 8, 8), numbers(6, 8, 8)
    layers = [Layer(seed) for seed in range(4)]
    alone = paddle.nn.Sequential(*layers)
    wanted = losses_of(alone, 3, lambda: squared_error(alone(paddle.to_tensor(x)), paddle.to_tensor(target)))
    stages = PipelineLayer(
        layers=[LayerDesc(Layer, seed) for seed in range(4)],
        loss_fn=squared_error,
        topology=fleet.get_hybrid_communicate_group().topology(),
    )
    optimizer = paddle.optimizer.SGD(0.1, parameters=stages.parameters())
    stages, optimizer = fleet.distributed_model(stages), fleet.distributed_optimizer(optimizer)
    batch = [paddle.to_tensor(x), paddle.to_tensor(target)]
    equal([float(stages.train_batch(batch, optimizer)) for _ in range(3)], wanted)


def losses_of(model, steps: int, loss_now) -> list[float]:
    optimizer = paddle.optimizer.SGD(0.1, parameters=model.parameters())
    losses = []
    for _ in range(steps):
        loss = loss_now()
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        losses.append(float(loss))
    return losses


# ---- sharding


def trained(level: str | None, steps: int = 3):
    """A model after some clipped steps over 8 rows, divided among the ranks with a level of sharding."""
    model = paddle.nn.Sequential(paddle.nn.Linear(8, 160), paddle.nn.Tanh(), paddle.nn.Linear(160, 8))
    for seed, parameter in enumerate(model.parameters()):
        parameter.set_value(numbers(seed, *parameter.shape) / 3)
    clip = paddle.nn.ClipGradByGlobalNorm(0.05)
    optimizer = paddle.optimizer.AdamW(0.01, parameters=model.parameters(), weight_decay=0.1, grad_clip=clip)
    x, target = numbers(5, 8, 8), numbers(6, 8, 8)
    if level:
        model, optimizer, _ = sharding.group_sharded_parallel(model, optimizer, level, segment_size=160)
        x, target = (np.split(whole, dist.get_world_size())[dist.get_rank()] for whole in (x, target))
    for _ in range(steps):
        squared_error(model(paddle.to_tensor(x)), paddle.to_tensor(target)).backward()
        optimizer.step()
        optimizer.clear_grad()
    return model, optimizer


@check
def sharding_stage_2_trains_as_one_process():
    model, optimizer = trained("os_g")
    alone, _ = trained(None)
    for found, wanted in zip(model.parameters(), alone.parameters(), strict=True):
        equal(found, wanted)
    states = sum("moment1" in name for name in optimizer.state_dict())
    assert states < len(alone.parameters()), "every rank keeps the optimiser's state of all parameters"


@check
def sharding_stage_3_trains_as_one_process():
    model, _ = trained("p_g_os")
    assert len(model._unslice_params) == 2, "matrices are sliced, vectors are not"
    model.get_all_parameters(convert2cpu=True)  # as for a checkpoint
    for found, wanted in zip(model.parameters(), trained(None)[0].parameters(), strict=True):
        equal(found, wanted)


def form_hybrid() -> None:
    strategy = fleet.DistributedStrategy()
    ranks = dist.get_world_size()
    strategy.hybrid_configs = {"mp_degree": 2, "pp_degree": ranks // 2, "dp_degree": 1}
    strategy.pipeline_configs = {"accumulate_steps": 4, "micro_batch_size": 2}
    fleet.init(is_collective=True, strategy=strategy)


def main(argv: list[str]) -> None:
    """Sharding comes first: it takes all ranks, as long as no hybrid of layouts divides them."""
    patches.apply_to_processes()
    patches.apply_to_processes()  # a second time changes nothing
    dist.init_parallel_env()
    folder, *names = argv
    results = {}
    for name in sorted(names, key=lambda name: not name.startswith("sharding")):
        if not name.startswith("sharding") and not hasattr(fleet.fleet, "_hcg"):
            form_hybrid()
        try:
            CHECKS[name]()
            results[name] = "right"
        except Exception:
            results[name] = traceback.format_exc()
        Path(folder, f"{dist.get_rank()}.json").write_text(json.dumps(results))
