"""Sharding stage 3 in PaddleNLP's unified form, which PaddleNLP does not write for it.

No other layout can resume from what PaddleNLP writes for stage 3, and every rank holds the whole model while it is
written. Here every rank writes some of the tensors, whole; it holds these and one more at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import paddle
import paddle.distributed as dist
from paddle.distributed.fleet.meta_parallel.sharding.group_sharded_stage3 import GroupShardedStage3
from paddlenlp.trainer.unified_checkpoint.utils import FP32_MASTER, save_model_config
from paddlenlp.transformers.model_utils import load_state_dict
from safetensors.numpy import save_file

from llm.core.files import read_json, write_json
from llm.core.model import shapes
from llm.core.parallel import stage3

MODEL, OPTIMIZER, MASTER = "model", "optimizer", "master_weights"
WHOLE_STATE = "_pow_acc_0"  # how the names of the state end that is one number for a parameter


def save_model(wrapped: GroupShardedStage3, folder: Path) -> None:
    _save(wrapped, folder, MODEL, lambda parameter: {"": stage3.held(parameter)})
    if dist.get_rank() == 0:
        save_model_config(wrapped._layer, str(folder))


def save_optimizer(wrapped: GroupShardedStage3, folder: Path) -> None:
    state = wrapped._optim.state_dict()
    masters = state.pop(MASTER, {})

    def state_of(parameter) -> dict:
        prefix = f"{_name_in_state(parameter)}_"
        kinds = {key[len(prefix) :].removeprefix(f"{FP32_MASTER}_"): key for key in state if key.startswith(prefix)}
        return {f"/{kind}": state[key] for kind, key in sorted(kinds.items())}

    _save(wrapped, folder, OPTIMIZER, state_of, {MASTER: bool(masters)})
    if masters:
        _save(wrapped, folder, MASTER, lambda parameter: {"": masters[_name_in_state(parameter)]})


def load_model(model: paddle.nn.Layer | GroupShardedStage3, folder: Path) -> None:
    """Into a model that is still whole, or into the slices of one that is not."""
    layer = model._layer if isinstance(model, GroupShardedStage3) else model
    parameters = layer.state_dict()
    for name, tensor in _tensors(folder, MODEL):
        if name not in parameters:
            continue  # a head that another layout saved in addition to the embedding it shares
        if layer is model:
            parameters[name].set_value(tensor)
        else:
            stage3.held(parameters[name]).set_value(stage3.share_of_rank(model, parameters[name], tensor))


def load_optimizer(wrapped: GroupShardedStage3, folder: Path) -> None:
    parameters, state = wrapped._layer.state_dict(), wrapped._optim.state_dict()
    has_masters = bool(read_json(_index(folder, OPTIMIZER)).get(MASTER))
    for name, tensor in _tensors(folder, OPTIMIZER):
        name, _, kind = name.partition("/")
        if name in parameters:
            key = f"{_name_in_state(parameters[name])}_{f'{FP32_MASTER}_' if has_masters else ''}{kind}"
            state[key] = (
                tensor if kind.endswith(WHOLE_STATE) else stage3.share_of_rank(wrapped, parameters[name], tensor)
            )
            state[key].name = key
    if has_masters:
        state[MASTER] = {
            _name_in_state(parameters[name]): stage3.share_of_rank(wrapped, parameters[name], tensor)
            for name, tensor in _tensors(folder, MASTER)
            if name in parameters
        }
        for name, master in state[MASTER].items():
            master.name = f"{name}_{FP32_MASTER}"  # by which the optimiser finds the moments
    wrapped._optim.set_state_dict(state)


def _save(wrapped, folder: Path, kind: str, pieces_of: Callable[[object], dict], extra: dict | None = None) -> None:
    """`pieces_of` a parameter are what this rank has of tensors named after it."""
    whole_shapes = shapes.of_model(wrapped._layer.config)
    group, sizes, mine, places = wrapped._group, [0] * wrapped._group.nranks, {}, {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, parameter in wrapped._layer.state_dict().items():
        owner = sizes.index(min(sizes))
        for suffix, piece in pieces_of(parameter).items():
            whole = piece
            if not stage3.is_whole(parameter) and not suffix.endswith(WHOLE_STATE):
                pieces: list = []
                dist.all_gather(pieces, piece, group=group)
                whole = paddle.concat(pieces)[: int(np.prod(whole_shapes[name]))].reshape(whole_shapes[name])
            sizes[owner] += whole.size * whole.element_size()
            places[name + suffix] = _part(kind, owner, group.nranks)
            if owner == group.rank:
                mine[name + suffix] = whole.numpy()
    is_first_copy = 0 in group.ranks  # others hold the same by data parallelism
    if is_first_copy and mine:
        save_file(mine, folder / _part(kind, group.rank, group.nranks), metadata={"format": "np"})
    if dist.get_rank() == 0:
        index = {"metadata": {"total_size": sum(sizes)}, "weight_map": places}
        write_json(_index(folder, kind), index | (extra or {}))


def _name_in_state(parameter) -> str:
    return parameter.name if stage3.is_whole(parameter) else f"slice@{parameter.name}"


def _tensors(folder: Path, kind: str) -> Iterator[tuple[str, paddle.Tensor]]:
    for part in sorted(set(read_json(_index(folder, kind))["weight_map"].values())):
        yield from load_state_dict(str(folder / part)).items()


def _part(kind: str, rank: int, ranks: int) -> str:
    return f"{kind}-{rank + 1:05d}-of-{ranks:05d}.safetensors"


def _index(folder: Path, kind: str) -> Path:
    return folder / f"{kind}.safetensors.index.json"
