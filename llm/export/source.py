"""The weights of an export under Hugging Face's names: of a model's files, tensor by tensor, or of adapters that are
merged into their base."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llm.core.model import weights
from llm.core.model.adapters import lora
from llm.core.model.config import load_config
from llm.core.model.load import weight_files
from llm.core.model.shapes import HEAD
from llm.core.model.weights import Wanted
from llm.core.text.reward_tokens import RewardTokens
from llm.export.merging import load_merged

EMBEDDING = "model.embed_tokens.weight"
Tensors = Iterator[tuple[str, Callable[[], np.ndarray]]]


class Source(NamedTuple):
    config: Any
    tensors: Callable[[], Tensors]  # from the first one at every call; matrices lie [out, in]
    note: str | None = None  # what differs from what was given


def open_source(folder: Path, tokens: RewardTokens | None) -> Source:
    """`tokens` None: a language model, without rewards."""
    if lora.is_adapter(folder):
        model, state, note = load_merged(folder, tokens)
        return Source(model.config, partial(_of_state, state, _places(model.config)), note)
    config = load_config(str(folder))
    files = weight_files(str(folder), config.model_type)
    held = weights.check(files, config, str(folder))
    return Source(config, partial(_of_files, files, held, config))


def _places(config: Any) -> dict[str, tuple[str, bool]]:
    """{name in PaddleNLP's form: (Hugging Face's name, whether it lies the other way round there)}"""
    wanted = weights.wanted_in_file(config, of_hugging_face=True)
    return {place.parameter: (name, place.is_transposed) for name, place in wanted.items()}


def _of_state(state: dict, places: dict[str, tuple[str, bool]]) -> Tensors:
    for parameter, tensor in state.items():
        name, is_turned = places[parameter]
        yield name, lambda tensor=tensor, is_turned=is_turned: tensor.numpy().T if is_turned else tensor.numpy()


def _of_files(files: list[Path], held: dict[str, Wanted], config: Any) -> Tensors:
    places = _places(config)
    for file in files:
        for tensor in weights.stored(file):
            if tensor.name not in held or (tensor.name == HEAD and config.tie_word_embeddings):
                continue  # frequencies of rotary embeddings in old files; the embedding a second time
            name, is_turned = places[held[tensor.name].parameter]
            turns_here = is_turned != held[tensor.name].is_transposed
            yield name, lambda tensor=tensor, turns=turns_here: tensor.read().T if turns else tensor.read()
