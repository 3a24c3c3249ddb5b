"""A model's weights: whether the files hold those that config.json describes, and their way into the model.

Two forms are read. PaddleNLP's names begin with the family ("llama.layers.0...") and its matrices lie [in, out];
Hugging Face's begin with "model." and lie [out, in]. The names tell which, so that a square matrix is never transposed
by mistake, and every shape is checked against the configuration before the model is built.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np
import paddle
from safetensors import safe_open

from llm.core import pickles
from llm.core.console import in_short, listed
from llm.core.model import shapes
from llm.core.model.head import head_kinds
from llm.core.model.head.head_kinds import NAMES, HeadKind, kind_of
from llm.core.model.shapes import HEAD
from llm.core.strict_json import object_of

NUMBERS = {"F32", "F16", "BF16", "U16", "float32", "float16", "uint16"}
LONGEST_HEADER = 100_000_000  # bytes, as the safetensors library has it
SAMPLES, SAMPLE_BYTES = 64, 1 << 16  # of a file's content in its fingerprint


class Held(NamedTuple):
    shape: list[int]
    numbers: str


class Stored(NamedTuple):
    """A tensor of a file."""

    name: str
    shape: list[int]
    numbers: str
    read: Callable[[], np.ndarray]


class Wanted(NamedTuple):
    """What a file must hold under some name."""

    parameter: str  # its name in PaddleNLP's model
    shape: list[int]  # in the file
    is_transposed: bool


def stored(file: Path) -> Iterator[Stored]:
    """The tensors of a file; those of safetensors are not read until asked for."""
    if file.suffix != ".safetensors":
        for name, array in pickles.load_state(file).items():
            yield Stored(name, list(array.shape), str(array.dtype), partial(_numbers_of, array))
        return
    try:
        _check_header(file)
        with safe_open(file, framework="np") as tensors:
            for name in tensors.keys():
                header = tensors.get_slice(name)
                read = lambda name=name: _numbers_of(tensors.get_tensor(name))  # noqa: E731
                yield Stored(name, list(header.get_shape()), header.get_dtype(), read)
    except Exception as error:
        raise ValueError(
            f"model_name_or_path: {file} could not be read ({in_short(error)}). It may be cut short: copy or download "
            "it again."
        ) from error


def _check_header(file: Path) -> None:
    """Of two tensors with one name the library would take the last."""
    with file.open("rb") as content:
        size = min(int.from_bytes(content.read(8), "little"), LONGEST_HEADER + 1)
        object_of(content.read(size), "its header", LONGEST_HEADER)


def _numbers_of(array: np.ndarray) -> np.ndarray:
    """PaddleNLP stores a bfloat16 as the integer with the same 16 bits."""
    return array.view(ml_dtypes.bfloat16) if array.dtype == np.uint16 else array


def wanted_in_file(config, of_hugging_face: bool, head: HeadKind | None = None) -> dict[str, Wanted]:
    """What the files must hold, by the names of their form; those of a reward head as `head` calls them."""
    kind, wanted = kind_of(config), {}
    names_of_head = dict(zip(kind.names, (head or kind).names, strict=True)) if kind else {}
    for name, shape in shapes.of_model(config).items():
        is_table = "embed_tokens" in name or (name == HEAD and config.tie_word_embeddings)  # [V, E] in both forms
        turned = of_hugging_face and len(shape) == 2 and not is_table
        name_in_file = name.replace(f"{config.model_type}.", "model.", 1) if of_hugging_face else name
        name_in_file = names_of_head.get(name, name_in_file)
        wanted[name_in_file] = Wanted(name, shape[::-1] if turned else shape, turned)
    return wanted


def check(files: list[Path], config, where: str, new_head: bool = False) -> dict[str, Wanted]:
    """What the files hold, by name, once it is known to be all that `config` wants and nothing else. Where it wants a
    reward head, an LM head and heads of other kinds may be there, too; with `new_head` its own need not be."""
    held = _held(files, where)
    head = _head_in_files(held, config, where, new_head)
    if kind_of(config):
        read = head.names if head else ()
        held = {name: one for name, one in held.items() if name in read or name not in {HEAD, *NAMES}}
    wanted = wanted_in_file(config, _is_of_hugging_face(held, config.model_type, where), head)
    optional = {HEAD} if config.tie_word_embeddings else set()
    optional |= {name for name, one in wanted.items() if one.parameter in NAMES}
    lacking = sorted(set(wanted) - set(held) - optional)
    unknown = sorted(set(held) - set(wanted))
    misshapen = [
        f"{name} is {held[name].shape} in the file, config.json wants {wanted[name].shape}"
        for name in sorted(set(held) & set(wanted))
        if held[name].shape != wanted[name].shape
    ]
    numbers = [f"{name} is {held[name].numbers}" for name in sorted(held) if held[name].numbers not in NUMBERS]
    problems = []
    if lacking:
        problems.append(
            f"the files lack {len(lacking)} weights of this architecture ({listed(lacking)}); they would start at "
            "random. Give the folder of the complete causal LM."
        )
    if unknown:
        problems.append(
            f"the files hold {len(unknown)} weights that this architecture has no place for ({listed(unknown)}); a "
            "part of the model would be left out. config.json belongs to another model: check model_type, "
            "architectures, num_hidden_layers."
        )
    if misshapen:
        problems.append(
            f"{len(misshapen)} weights have a different shape than config.json describes ({listed(misshapen)}). "
            "config.json belongs to another model: check vocab_size, hidden_size, intermediate_size, "
            "num_attention_heads, num_key_value_heads."
        )
    if numbers:
        problems.append(f"{len(numbers)} weights are neither float32, float16 nor bfloat16 ({listed(numbers)}).")
    if problems:
        whole = " ".join(problems)
        raise ValueError(f"model_name_or_path: the weights in {where!r} do not fit its config.json: {whole}")
    if config.tie_word_embeddings and HEAD in held:
        _check_tied_head(files, where)
    return wanted


def has_head(files: list[Path], config, where: str) -> bool:
    """Whether the files hold the reward head that `config` wants."""
    return _head_in_files(_held(files, where), config, where, new_head=True) is not None


def _head_in_files(held: dict[str, Held], config, where: str, new_head: bool) -> HeadKind | None:
    """The kind under whose names the files hold the reward head that `config` wants; ValueError where they do not."""
    kind = kind_of(config)
    head = kind and head_kinds.found_in(kind, {name: one.shape for name, one in held.items()})
    if kind and not head and not new_head:
        raise ValueError(
            f"reward_head: the files in {where!r} hold no {kind.name} head ({', '.join(kind.names)}), but "
            f"{head_kinds.described(held)}. Write reward_head for the head that is there, give a model that has this "
            "one, or write init_reward_head true to start with a new one."
        )
    return head


def _held(files: list[Path], where: str) -> dict[str, Held]:
    held = {}
    for file in files:
        for name, shape, numbers, _ in stored(file):
            if name in held:
                raise ValueError(
                    f"model_name_or_path: {name} is in two of the files that the index in {where!r} lists. Files "
                    "of different models were mixed: copy or download the folder again."
                )
            if "rotary_emb" not in name:  # old files hold its frequencies, which follow from config.json
                held[name] = Held(shape, numbers)
    return held


def _is_of_hugging_face(names, family: str, where: str) -> bool:
    forms = {name.split(".")[0] for name in names} & {"model", family}
    if len(forms) == 1:
        return forms == {"model"}
    raise ValueError(
        f"model_name_or_path: the weights in {where!r} are named {listed(sorted(names))}. A {family!r} model, which "
        f"config.json says this is, has names that begin with {family}. (PaddleNLP) or model. (Hugging Face). Give the "
        "folder of the complete causal LM with the config.json that belongs to it."
    )


def _check_tied_head(files: list[Path], where: str) -> None:
    tensors = (tensor for file in files for tensor in stored(file))
    arrays = [tensor.read() for tensor in tensors if tensor.name == HEAD or "embed_tokens" in tensor.name]
    if not np.array_equal(*arrays):
        raise ValueError(
            f"model_name_or_path: tie_word_embeddings is true in the config.json of {where!r}, but {HEAD} differs from "
            "the embedding; one of the two would be left out. If the head is meant, write false there."
        )


def fill(model, files: list[Path], wanted: dict[str, Wanted]) -> set[str]:
    """Tensor by tensor, so that only one of them is in memory in addition to the model. What is left empty: of a
    reward head what no file holds."""
    config, parameters = model.config, model.state_dict()
    empty = set(parameters)
    parts = {}
    if config.tensor_parallel_degree > 1:
        parts = model.get_tensor_parallel_convert_actions(config, list(parameters), ignore_error=True)
    for file in files:
        for tensor in stored(file):
            if tensor.name not in wanted or (tensor.name == HEAD and config.tie_word_embeddings):
                continue
            name, _, is_transposed = wanted[tensor.name]
            # where two stages of a pipeline share a matrix, the last one has it as its head
            names = {name, HEAD} if config.tie_word_embeddings and "embed_tokens" in name else {name}
            if not names & empty:
                continue  # of another stage
            array = tensor.read()
            array = parts.get(name, lambda whole: whole)(array.T if is_transposed else array)
            values = np.ascontiguousarray(array, dtype=config.dtype)
            for place in names & empty:
                parameters[place].set_value(values.view("uint16") if config.dtype == "bfloat16" else values)
                if not bool(paddle.isfinite(parameters[place]).all()):
                    raise ValueError(_not_finite(tensor.name, file))
            empty -= names
    assert empty <= NAMES, empty
    return empty


def _not_finite(name: str, file: Path) -> str:
    return (
        f"model_name_or_path: {name} in {file} holds a NaN or an infinity, and so would every score. The training that "
        "wrote it diverged, or the copy is broken: give another checkpoint."
    )


def fingerprint(files: list[Path]) -> str:
    """Of the files' names and sizes and some of their bytes: another training of the same model has others."""
    value = 0
    for file in sorted(files):
        size = file.stat().st_size
        value = zlib.crc32(f"{file.name} {size}".encode(), value)
        with file.open("rb") as content:
            for number in range(SAMPLES):
                content.seek(size * number // SAMPLES)
                value = zlib.crc32(content.read(SAMPLE_BYTES), value)
    return f"crc32 {value:08x}"
