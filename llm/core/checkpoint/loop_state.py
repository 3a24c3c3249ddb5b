"""What a resumed run needs apart from weights and optimiser: random numbers of every rank, and the schedule. As JSON.

PaddleNLP pickles both. Older checkpoints of this project have its files, which are read through core/pickles.py.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle.base import core
from paddle.distributed import fleet

from llm.core import pickles
from llm.core.console import UserError, in_short
from llm.core.files import write_json
from llm.core.strict_json import read_object, value_of

RANDOM, SCHEDULE = "random_state.json", "scheduler.json"
PICKLED_SCHEDULE = "scheduler.pdparams"
MOST_BYTES = 1 << 30  # of the states of all ranks, some 30,000 each
PYTHON_WORDS, NUMPY_WORDS, PADDLE_WORDS = 625, 624, 313  # of the generators' states


def of_rank() -> dict:
    """The state of this process's random numbers, as PaddleNLP divides it."""
    tracker = fleet.meta_parallel.get_rng_state_tracker().get_states_tracker()
    return _packed(
        {
            "python": random.getstate(),
            "numpy": np.random.get_state(),
            "cpu": core.default_cpu_generator().get_state().__getstate__(),
            "cuda": [state.__getstate__() for state in paddle.get_rng_state()],
            "hybrid_parallel_rng_state_tracker": {
                name: [state.__getstate__() for state in states] for name, states in tracker.items()
            },
        }
    )


def save(folder: Path, ranks: list[dict], schedule: dict) -> None:
    """In place of PaddleNLP's pickles, which are deleted."""
    write_json(folder / RANDOM, ranks)
    write_json(folder / SCHEDULE, {name: _number(name, value) for name, value in schedule.items()})
    for pickled in (*folder.glob("rng_state*.pth"), folder / PICKLED_SCHEDULE):
        pickled.unlink(missing_ok=True)


def schedule_of(folder: Path) -> dict:
    if (folder / SCHEDULE).is_file():
        return read_object(folder / SCHEDULE)
    with (folder / PICKLED_SCHEDULE).open("rb") as file:
        return pickles.load(file)


def restore_random(folder: Path, rank: int, ranks: int) -> None:
    """Nothing where another number of ranks wrote the checkpoint."""
    pickled = folder / (f"rng_state_{ranks}.pth" if ranks > 1 else "rng_state.pth")
    file = folder / RANDOM if (folder / RANDOM).is_file() else pickled
    if not file.is_file():
        return
    try:
        is_json = file.suffix == ".json"
        states = value_of(file.read_bytes(), file.name, MOST_BYTES) if is_json else _unpickled(file, ranks)
        if len(states) == ranks:
            _restore(states[rank])
    except Exception as error:  # numbers that fit nowhere fail in any way
        raise UserError(
            f"{file}: this state of random numbers is damaged ({in_short(error)}). Copy the checkpoint again, or "
            "delete it to resume from the one before."
        ) from error


def _unpickled(file: Path, ranks: int) -> list[dict]:
    with file.open("rb") as content:
        states = pickles.load(content)
    return [_packed(state) for state in (states if ranks > 1 else [states])]


def _packed(state: dict) -> dict:
    """The many numbers of a generator as one text, so that a file has a line for each."""
    version, words, gauss = state["python"]
    kind, keys, *others = state["numpy"]
    tracker = state.get("hybrid_parallel_rng_state_tracker", {})
    return {
        "python": [version, " ".join(map(str, words)), gauss],
        "numpy": [kind, " ".join(map(str, keys)), *others],
        "cpu": _packed_generator(state["cpu"]),
        "cuda": [_packed_generator(one) for one in state["cuda"]],
        "hybrid_parallel_rng_state_tracker": {
            name: [_packed_generator(one) for one in states] for name, states in tracker.items()
        },
    }


def _packed_generator(state: tuple) -> list:
    device, seed, offset, characters = state
    return [device, seed, offset, "".join(map(chr, characters))]


def _generator(packed: list) -> Any:
    device, seed, offset, words = packed
    _check_count("paddle", words.split(), PADDLE_WORDS)
    state = core.GeneratorState.__new__(core.GeneratorState)
    state.__setstate__((device, seed, offset, [ord(character) for character in words]))
    return state


def _restore(state: dict) -> None:
    version, words, gauss = state["python"]
    kind, keys, place, *others = state["numpy"]
    _check_count("python", words.split(), PYTHON_WORDS)
    _check_count("numpy", keys.split(), NUMPY_WORDS)
    if not 0 <= place <= NUMPY_WORDS:  # numpy would read beyond its memory
        raise ValueError(f"numpy's place is {place}")
    random.setstate((version, tuple(map(int, words.split())), gauss))
    np.random.set_state((kind, np.array(keys.split(), np.uint32), place, *others))
    core.default_cpu_generator().set_state(_generator(state["cpu"]))
    if not isinstance(paddle.framework._current_expected_place_(), paddle.CPUPlace):
        paddle.set_rng_state([_generator(one) for one in state["cuda"]])
    tracker = fleet.meta_parallel.get_rng_state_tracker()
    saved = state["hybrid_parallel_rng_state_tracker"]
    tracker.set_states_tracker(
        {name: [_generator(one) for one in saved[name]] for name in saved if name in tracker.states_}
    )


def _check_count(what: str, words: list[str], count: int) -> None:
    if len(words) != count:
        raise ValueError(f"{what} has {len(words)} numbers, not {count}")


def _number(name: str, value: Any) -> int | float | bool:
    if not isinstance(value, int | float | np.generic):
        raise TypeError(f"{name} of the schedule is {value!r}, not a number")
    return value.item() if isinstance(value, np.generic) else value
