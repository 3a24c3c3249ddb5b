"""What a checkpoint must hold for a run to go on from it: the state of the training, and every tensor in its shape and
type, without NaN. Known before a model is built.

Checksums tell whether a checkpoint is what was saved. This tells whether what was saved is all that this run needs; of
early checkpoints, which have no checksums, it is the only look into the files.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from math import prod
from operator import ge
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import paddle
from paddlenlp.trainer.trainer_callback import TrainerState
from safetensors import safe_open

from llm.core.checkpoint import checkpoints, loop_state, not_finite
from llm.core.console import in_short, listed
from llm.core.model.shapes import EMBEDDING, HEAD
from llm.core.strict_json import read_object

OF_MODEL = ("model*", "peft_model*", "lora_model_state*")  # how its files are called
STATE, TALLY = "trainer_state.json", "running_sums.json"
MOMENTS, POWERS = ("moment1_0", "moment2_0"), ("beta1_pow_acc_0", "beta2_pow_acc_0")  # Adam's, of every parameter
FLOAT32, BFLOAT16 = "float32", "bfloat16"
NUMBERS = {"F32": FLOAT32, "BF16": BFLOAT16, "U16": BFLOAT16, "uint16": BFLOAT16}  # by their names in files
NUMBER, NOTHING = (int, float), (type(None),)
KINDS: dict[str, tuple[type, ...]] = {  # of values of the state that are looked at again
    "global_step": (int,),
    "max_steps": (int,),
    "num_train_epochs": NUMBER,
    "consumed_samples": (int,),
    "epoch": NUMBER + NOTHING,
    "best_metric": NUMBER + NOTHING,
    "best_model_checkpoint": (str, *NOTHING),
    "log_history": (list,),
}
SLICE = "slice@"  # how the names of what stage 3 cuts begin in a file of its own


@dataclass(frozen=True)
class Needed:
    """By a run."""

    weights: dict[str, list[int]]  # that a checkpoint holds, by name: the whole model, or what trains with adapters
    is_adapter: bool
    is_tied: bool  # the head is the embedding: of the two one has the optimiser's state, or both have it
    bfloat16: bool  # weights may be, with copies in float32
    unified: bool
    sums: tuple[str, ...]
    best_at_end: bool


class Tensor(NamedTuple):
    shape: list[int]
    numbers: str


Tensors = dict[str, Tensor]


def faults(folder: Path, needed: Needed) -> list[str]:
    """What a checkpoint lacks, each with the file's name."""
    of_optimizer = _of_optimizer if needed.unified else _of_own_optimizer
    found = [*_of_state(folder, needed), *_of_sums(folder, needed.sums), *_of_schedule(folder)]
    found += [*_of_weights(folder, needed), *of_optimizer(folder, needed)]
    # a unified checkpoint may hold pickles of others, which are never read
    return found or not_finite.faults(folder, ("*.safetensors",) if needed.unified else ("*",))


def faults_of_model(folder: Path, needed: Needed) -> list[str]:
    """Of the files alone that a model is in: what is loaded of the best checkpoint at the end of a run."""
    found = checkpoints.faults(folder, OF_MODEL) or _of_weights(folder, needed)
    return found or not_finite.faults(folder, OF_MODEL)


# ---- the state of the training


def _of_state(folder: Path, needed: Needed) -> list[str]:
    try:
        state = read_object(folder / STATE, with_nan=True)
    except ValueError as error:
        return [str(error)]
    wrong = [name for name, kinds in KINDS.items() if type(state.get(name, ...)) not in kinds]
    wrong += sorted(set(state) - {field.name for field in fields(TrainerState)})
    if "global_step" not in wrong and state["global_step"] < 1:
        wrong.append("global_step")
    if "log_history" not in wrong and not all(map(_is_line_of_log, state["log_history"])):
        wrong.append("log_history")
    if wrong:
        return [f"{STATE} has a wrong or missing value of {listed(wrong)}"]
    best = state["best_model_checkpoint"]
    if not best or not needed.best_at_end or Path(best) == folder:
        return []
    problems = faults_of_model(Path(best), needed)
    return [f"{STATE} names {best} as the best so far: there {listed(problems, 2)}"] if problems else []


def _is_line_of_log(line: Any) -> bool:
    return isinstance(line, dict) and type(line.get("step")) is int


def _of_sums(folder: Path, names: Iterable[str]) -> list[str]:
    try:
        sums = read_object(folder / TALLY)
    except ValueError as error:
        return [str(error)]
    wrong = [name for name in ("seconds", "seconds_since_last_log") if not _is_number(sums.get(name, 0.0))]
    wrong += [] if "seconds" in sums else ["seconds"]  # the other is not in early checkpoints
    for group in ("total", "since_last_log"):
        values = sums.get(group)
        if isinstance(values, dict):
            wrong += [f"{name} in {group}" for name in names if not _is_number(values.get(name))]
        else:
            wrong.append(group)
    return [f"{TALLY} has a wrong or missing value of {listed(wrong)}"] if wrong else []


def _of_schedule(folder: Path) -> list[str]:
    """Of the schedule, which early checkpoints have as a pickle."""
    found = []
    try:
        schedule = loop_state.schedule_of(folder)
        if not isinstance(schedule, dict) or not {"last_epoch", "last_lr"} <= {
            name for name, value in schedule.items() if _is_number(value)
        }:
            found.append(f"{loop_state.SCHEDULE} does not hold the schedule's numbers")
    except (OSError, ValueError, RecursionError) as error:
        found.append(f"{loop_state.SCHEDULE} cannot be read ({in_short(error)})")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# ---- tensors


def _of_weights(folder: Path, needed: Needed) -> list[str]:
    try:
        held, where = _weights(folder, needed)
    except ValueError as error:
        return [str(error)]
    return _differences(held, needed.weights, {FLOAT32, BFLOAT16} if needed.bfloat16 else {FLOAT32}, where)


def _weights(folder: Path, needed: Needed) -> tuple[Tensors, str]:
    """What there is of the model, and in which file."""
    if needed.unified:
        return _of_index(folder, "peft_model" if needed.is_adapter else "model")
    file = folder / ("lora_model_state.pdparams" if needed.is_adapter else "model_state.pdparams")
    return _held(file), file.name


def _of_optimizer(folder: Path, needed: Needed) -> list[str]:
    try:
        held, where = _of_index(folder, "optimizer")
        has_masters = read_object(folder / where).get("master_weights")
        if not isinstance(has_masters, bool):
            return [f"{where} does not say whether there are master_weights"]
        masters, where_masters = _of_index(folder, "master_weights") if has_masters else ({}, "")
        weights = _weights(folder, needed)[0] if has_masters else {}
    except ValueError as error:
        return [str(error)]
    trained = _with_state(needed, {name.partition("/")[0] for name in held})
    state = {f"{name}/{kind}": shape for name, shape in trained.items() for kind in MOMENTS}
    state |= {f"{name}/{kind}": [1] for name in trained for kind in POWERS}
    copied = {name: shape for name, shape in trained.items() if name in weights and weights[name].numbers != FLOAT32}
    found = _differences(held, state, {FLOAT32}, where)
    return [*found, *_differences(masters, copied if has_masters else {}, {FLOAT32}, where_masters)]


def _with_state(needed: Needed, found: set[str]) -> dict[str, list[int]]:
    """The parameters of which the optimiser has a state. A tied head has it under one of its names, or under both."""
    both = {name for name in needed.weights if name == HEAD or name.endswith(EMBEDDING)}
    spare = both - found if needed.is_tied and both & found else set()
    return {name: shape for name, shape in needed.weights.items() if name not in spare}


def _of_own_optimizer(folder: Path, needed: Needed) -> list[str]:
    """In Paddle's own form, whose tensors are named after the order in which a process made its parameters: they are
    counted by their shapes."""
    files = sorted(folder.glob("optimizer*.pdopt"))
    where = ", ".join(file.name for file in files) or "optimizer.pdopt"
    held: defaultdict[str, list[Tensor]] = defaultdict(list)
    try:
        for file in files:
            for name, tensor in _held(file).items():
                held[name].append(tensor)
    except ValueError as error:
        return [str(error)]
    trained = list(_with_state(needed, {HEAD}).values())
    wanted = {kind: trained for kind in MOMENTS} | {kind: [[1]] * len(trained) for kind in POWERS}
    found = []
    for kind, shapes in wanted.items():
        of_kind = {name: parts for name, parts in held.items() if name.endswith(f"_{kind}")}
        if not _can_be(shapes, of_kind, len(files)):
            found.append(f"{where}: {kind} is not there for every parameter, in its shape and in {FLOAT32}")
    return found


def _can_be(wanted: list[list[int]], found: dict[str, list[Tensor]], files: int) -> bool:
    """Whether these are tensors of those shapes. What stage 3 has cut is in every file, flat and filled up."""
    if any(part.numbers != FLOAT32 for parts in found.values() for part in parts):
        return False
    cut = {name: parts for name, parts in found.items() if name.startswith(SLICE)}
    whole = Counter(tuple(parts[0].shape) for name, parts in found.items() if name not in cut)
    rest = sorted(prod(shape) for shape in (Counter(map(tuple, wanted)) - whole).elements())
    sizes = sorted(sum(prod(part.shape) for part in parts) for parts in cut.values())
    are_all_there = len(found) == len(wanted) and all(len(parts) == files for parts in cut.values())
    return are_all_there and len(rest) == len(sizes) and all(map(ge, sizes, rest))


def _differences(held: Tensors, wanted: dict[str, list[int]], types: set[str], where: str) -> list[str]:
    """Tensors that nobody asks for are no fault: a head that another layout saved with the embedding it shares."""
    both = [name for name in wanted if name in held]
    found = []
    if missing := [name for name in wanted if name not in held]:
        found.append(f"{where} lacks {listed(missing)}")
    found += [
        f"{name} of {where} has the shape {held[name].shape} instead of {wanted[name]}"
        for name in both
        if held[name].shape != wanted[name]
    ]
    found += [
        f"{name} of {where} is in {held[name].numbers} instead of {' or '.join(sorted(types))}"
        for name in both
        if held[name].numbers not in types
    ]
    return found


# ---- files


def _of_index(folder: Path, kind: str) -> tuple[Tensors, str]:
    """The tensors of the files that an index names, and its own name. ValueError where one is not there."""
    index = folder / f"{kind}.safetensors.index.json"
    held: Tensors = {}
    for file, names in _places(index, kind).items():
        in_file = _held(folder / file)
        if missing := sorted(names - set(in_file)):
            raise ValueError(f"{file} lacks {listed(missing)}, which {index.name} looks for there")
        held |= {name: in_file[name] for name in names}
    return held, index.name


def _places(index: Path, kind: str) -> dict[str, set[str]]:
    """{file: names of its tensors}"""
    content = read_object(index)
    places = content.get("weight_map")
    if not isinstance(places, dict) or not isinstance(content.get("metadata"), dict):
        raise ValueError(f"{index.name} is not an index of tensors")
    files: defaultdict[str, set[str]] = defaultdict(set)
    for name, file in places.items():
        if not isinstance(file, str) or not re.fullmatch(rf"{kind}-\d{{5}}-of-\d{{5}}\.safetensors", file):
            raise ValueError(f"{index.name} names {file!r}, which cannot be one of its files")
        files[file].add(name)
    return files


def _held(file: Path) -> Tensors:
    if not file.is_file():
        raise ValueError(f"{file.name} is missing")
    try:
        if file.suffix != ".safetensors":
            arrays = paddle.load(str(file), return_numpy=True).items()
            return {
                name: Tensor(list(array.shape), NUMBERS.get(str(array.dtype), str(array.dtype)))
                for name, array in arrays
                if isinstance(array, np.ndarray)
            }
        with safe_open(file, framework="np") as tensors:
            headers = {name: tensors.get_slice(name) for name in tensors.keys()}
            return {
                name: Tensor(list(header.get_shape()), NUMBERS.get(header.get_dtype(), header.get_dtype()))
                for name, header in headers.items()
            }
    except Exception as error:  # a broken pickle raises anything
        raise ValueError(f"{file.name} cannot be read ({in_short(error)})") from error
