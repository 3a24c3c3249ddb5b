"""Pickles are read without running anything: paddle.save writes them, and a pickle may name any function to be called.

Numbers, text, arrays of numbers and containers of them are built here from the file's bytes. Whatever else a file names
is refused, and only the functions of `STAND_INS` are called. No paddle here.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from llm.core.console import in_short

ARRAYS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"b1", "f2", "f4", "f8", "c8", "c16"}
PLAIN = (str, bytes, int, float, bool, type(None), np.generic)
NAMES, SPLIT = "StructuredToParameterName@@", "UnpackBigParamInfor@@"  # what paddle.save adds to a state


def load(file: BinaryIO, **_: Any) -> Any:
    """In place of pickle.load."""
    with _explained(getattr(file, "name", "a pickle")):
        return _plain(_Unpickler(file, encoding="latin1").load())


def load_state(path: Path) -> dict[str, np.ndarray]:
    """The arrays by name of a state that paddle.save wrote."""
    with path.open("rb") as file:
        state = load(file)
    with _explained(path):
        if not isinstance(state, dict):
            raise _Refused(f"{type(state).__name__} in place of arrays by name")
        state.pop(NAMES, None)
        for name, parts in state.pop(SPLIT, {}).items():  # arrays above 1 GiB, in older protocols
            state[name] = np.concatenate([state.pop(part) for part in parts["slices"]]).reshape(parts["OriginShape"])
        return {name: _array_of(name, value) for name, value in state.items()}


def refuse(_: Any, module: str, name: str) -> NoReturn:
    """In place of a library's look-up of what a pickle names."""
    raise ValueError(
        f"PyTorch's pickles are not read; one names {ascii(f'{module}.{name}')[:100]}. Convert it to safetensors."
    )


class _Refused(Exception):
    """The text is what the file holds."""


@contextlib.contextmanager
def _explained(file: Any) -> Iterator[None]:
    try:
        yield
    except _Refused as refused:
        raise ValueError(
            f"{file} is refused: it is a pickle that holds {refused}, and loading that can run code. Only numbers, "
            "text, arrays of numbers, and lists and dictionaries of them are read from pickles. Get the file as "
            "safetensors from its source, or delete it if it does not belong here."
        ) from None
    except Exception as error:
        raise ValueError(
            f"{file} could not be read ({in_short(error)}). It may be cut short: copy or download it again."
        ) from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return STAND_INS[f"{module}.{name}"]
        except KeyError:
            raise _Refused(ascii(f"{module}.{name}")[:100]) from None


class _Numbers:
    """A dtype."""

    def __init__(self, name: str, *_: Any) -> None:
        if name not in ARRAYS:
            raise _Refused(f"an array of {ascii(name)[:100]}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])

    def array(self, content: bytes | str, shape: tuple, order: Any = "C") -> np.ndarray:
        content = content.encode("latin1") if isinstance(content, str) else content  # as Python 2 wrote it
        array: np.ndarray = np.ndarray(shape, self.dtype, bytes(content), order=order)
        if array.nbytes != len(content):
            raise ValueError(f"an array of shape {shape} has {array.nbytes} bytes, not {len(content)}")
        return array.astype(self.dtype.newbyteorder("="), copy=False)


class _Built:
    """An object that is only known once its state is."""

    value: Any


class _Array(_Built):
    def __setstate__(self, state: tuple) -> None:
        _, shape, numbers, is_fortran, content = state
        self.value = numbers.array(content, shape, "F" if is_fortran else "C")


class _Generator(_Built):
    """Of Paddle's random numbers: its state is plain."""

    def __setstate__(self, state: tuple) -> None:
        self.value = _plain(state)


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _Refused(f"text encoded as {ascii(encoding)[:100]}")
    return text.encode("latin1")


STAND_INS = {
    "numpy.dtype": _Numbers,
    "numpy.ndarray": _Array,
    "paddle.base.libpaddle.GeneratorState": _Generator,
    "_codecs.encode": _encoded,  # bytes, in older protocols
    "collections.OrderedDict": dict,
    "builtins.tuple": tuple,  # of a tensor's name and array
    "__builtin__.tuple": tuple,
}
for _numpy in ("numpy.core.multiarray", "numpy._core.multiarray"):
    STAND_INS[f"{_numpy}._reconstruct"] = lambda *_: _Array()
    STAND_INS[f"{_numpy}.scalar"] = lambda numbers, content: numbers.array(content, ())[()]


def _plain(value: Any) -> Any:
    if isinstance(value, _Built):
        return value.value
    if type(value) is dict:
        return {_plain(key): _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    if not isinstance(value, (*PLAIN, np.ndarray)):
        raise _Refused(f"an object of type {type(value).__name__}")
    return value


def _array_of(name: Any, value: Any) -> np.ndarray:
    if isinstance(value, tuple) and len(value) == 2:  # with the name that it had in the process
        value = value[1]
    if not isinstance(name, str) or not isinstance(value, np.ndarray):
        raise _Refused(f"{type(value).__name__} in place of an array under {ascii(name)[:100]}")
    return value
