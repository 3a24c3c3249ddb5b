"""Published reward models: a backbone of one of the families and a head, as Hugging Face's folders hold them.

Legend: M marks of solutions at scored positions, K scored positions, E hidden size, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle

from llm.alignment.rm.flashmask.reward_format import FORMAT_FILE
from llm.core.model import load, weights
from llm.core.model.adapters import lora
from llm.core.model.config import load_backbone_config
from llm.core.model.folder import find_model
from llm.core.model.head import heads, reward_head
from llm.core.model.head.chunked_logsumexp import log_normaliser
from llm.core.model.head.head_kinds import LM, NAMES
from llm.core.run.answer_format import is_language_model, load_answer_format
from llm.core.text.load_tokenizer import load_tokenizer
from llm.scoring.conventions import implicit
from llm.scoring.conventions.convention import Convention, Reader
from llm.scoring.conventions.find import MODEL_HEADS, PUBLISHED, choose
from llm.scoring.model import compute_in_float32_on_a_cpu, prepare


def head_tensors(folder: Path) -> dict[str, list[int]]:
    """{name: shape} of the heads that the conventions know."""
    files = sorted(folder.glob("*.safetensors"))
    return {one.name: one.shape for file in files for one in weights.stored(file) if one.name in NAMES}


def load_published(
    folder: Path, asked: str | None, reference: str | Path | None, dtype: str, device: str | None
) -> tuple[Convention, tuple[tuple[Any, Reader], ...]]:
    """The convention, and each model with how its head is read."""
    _check_folder(folder)
    name = choose(folder, asked, head_tensors(folder))
    if (name == implicit.NAME) != (reference is not None):
        raise ValueError(implicit.only_with_reference(name, reference))
    prepare(device)
    models = []
    for each in filter(None, (folder, reference)):
        head = PUBLISHED[name].HEAD
        is_adapter = name == implicit.NAME and lora.is_adapter(each)
        path = str(each) if is_adapter else find_model(str(each))
        config, sizes = load_backbone_config(path, LM if head in MODEL_HEADS else head)
        if each is folder:
            convention = _convention_of(folder, name, sizes.longest_solution)
        model = lora.load(path, dtype, tokens=None) if is_adapter else load.load_model(path, config, dtype)
        model.eval()
        compute_in_float32_on_a_cpu(model, dtype)
        models.append((model, _reader(model, head, convention)))
    return convention, tuple(models)


def _convention_of(folder: Path, name: str, limit: int) -> Convention:
    if name == implicit.NAME and is_language_model(folder):
        trained = load_answer_format(folder)
        if trained.implicit_beta is not None:
            return implicit.of_training(trained, limit)
    return PUBLISHED[name].convention_of(load_tokenizer(str(folder)), limit)


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder} has no {FORMAT_FILE} and no config.json, so it is neither a model of this project nor a "
            "published one. Give the output_dir of a training, or a model's folder."
        )


def _reader(model: Any, head: str, convention: Convention) -> Reader:
    if head == "next token":
        return lambda hidden_KE, at_M, next_M: log_p_of_next(model, hidden_KE, at_M, next_M).unsqueeze(-1)
    outputs = reward_head.of(model) or _lm_head(model, convention)
    return lambda hidden_KE, at_M, next_M: outputs(hidden_KE).gather(at_M)


def _lm_head(model: Any, convention: Convention) -> Callable:
    assert convention.reward_ids
    rows_2E = heads.rows_of(model, convention.reward_ids).astype("float32")
    return lambda hidden_KE: paddle.matmul(hidden_KE.astype("float32"), rows_2E, transpose_y=True)


def log_p_of_next(model: Any, hidden_KE, at_M, next_M):
    """[M]: the logarithm of the probability of the token that follows, among the whole vocabulary."""
    weight, tied = model.lm_head.weight, heads.is_tied(model)
    wide = weight.astype(hidden_KE.dtype)
    normaliser_K = log_normaliser(hidden_KE, wide, tied)
    rows_ME = wide.gather(next_M) if tied else wide.index_select(next_M, axis=1).t()
    return (hidden_KE.gather(at_M) * rows_ME).sum(-1) - normaliser_K.gather(at_M)
