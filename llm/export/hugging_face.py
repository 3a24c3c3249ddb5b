"""A model's folder as transformers writes it: config.json and safetensors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from llm.core.files import read_json, write_json
from llm.core.model.families import FAMILIES
from llm.core.text.tokenizer import Tokenizer
from llm.core.text.tokenizer_settings import CONFIG_FILE
from llm.export.forms import Form

FILE_BYTES = 4 << 30
KINDS = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
# Written whatever their value: where one is missing, transformers takes another default than PaddleNLP.
ALWAYS = """model_type vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads
max_position_embeddings rms_norm_eps rope_theta tie_word_embeddings initializer_range
bos_token_id eos_token_id""".split()
OF_FAMILY = {
    "llama": {"attention_bias": False, "mlp_bias": False},
    "qwen2": {"use_sliding_window": False},
    "qwen3": {"use_sliding_window": False, "attention_bias": False},
}


def config_of(config: Any, dtype: str) -> dict:
    """The members of config.json but for architectures, padding and what a form adds."""
    settings = {name: getattr(config, name) for name in ALWAYS}
    if config.model_type == "mistral":
        settings["sliding_window"] = config.sliding_window
    if config.model_type == "qwen3":
        settings["head_dim"] = config.head_dim
    return settings | {
        "num_key_value_heads": config.num_key_value_heads or config.num_attention_heads,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "rope_scaling": getattr(config, "rope_scaling", None),
        "torch_dtype": dtype,
        "use_cache": True,
        **OF_FAMILY.get(config.model_type, {}),
    }


def padding_of(tokenizer: Tokenizer, placeholder: int | None = None) -> str | None:
    """A token that texts can be padded with: a known one that carries no score, as classifiers look for the last token
    that is another one."""
    for name in ("pad_token", "eos_token", "unk_token"):
        number = tokenizer.token_id(tokenizer.named[name])
        if number is not None and number != placeholder:
            return tokenizer.named[name]
    return None


def write_config(
    folder: Path, config: Any, form: Form, dtype: str, tokenizer: Tokenizer, placeholder: int | None = None
) -> None:
    settings = config_of(config, dtype) | form.settings
    settings["architectures"] = [FAMILIES[config.model_type].name + form.architecture]
    settings["pad_token_id"] = tokenizer.token_id(padding_of(tokenizer, placeholder))
    if form.make_head:
        settings["tie_word_embeddings"] = False  # there is no LM head
    write_json(folder / "config.json", settings)


def write_padding(folder: Path, tokenizer: Tokenizer, placeholder: int | None = None) -> None:
    """What config.json calls padding, so that texts in a batch end where a sequence classifier thinks they do."""
    settings = read_json(folder / CONFIG_FILE)
    write_json(folder / CONFIG_FILE, settings | {"pad_token": padding_of(tokenizer, placeholder)})


def write_weights(folder: Path, tensors: Iterable[tuple[str, np.ndarray]], dtype: str) -> int:
    """Into model.safetensors, or several files and their index; those of one file are in memory at a time. The number
    of parameters."""
    parts: list[dict[str, int]] = []  # {name: bytes} of each file that is written
    part: dict[str, np.ndarray] = {}
    count = 0
    for name, array in tensors:
        array = _as(array, KINDS[dtype], name)
        if part and sum(other.nbytes for other in part.values()) + array.nbytes > FILE_BYTES:
            parts.append(_save(folder, len(parts), part))
            part = {}
        part[name] = array
        count += array.size
    parts.append(_save(folder, len(parts), part))
    names = [f"model-{number + 1:05d}-of-{len(parts):05d}.safetensors" for number in range(len(parts))]
    if len(parts) == 1:
        names = ["model.safetensors"]
    else:
        places = {weight: name for name, sizes in zip(names, parts, strict=True) for weight in sizes}
        total = sum(size for sizes in parts for size in sizes.values())
        write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    for number, name in enumerate(names):
        _numbered(folder, number).rename(folder / name)
    return count


def _as(array: np.ndarray, kind: Any, name: str) -> np.ndarray:
    values = np.ascontiguousarray(array, dtype=kind)
    if not np.isfinite(values).all():
        raise ValueError(
            f"MODEL: {name} holds a NaN or an infinity, and so would every score. The training that wrote it diverged, "
            "or the copy is broken: give another checkpoint."
        )
    return values


def _numbered(folder: Path, number: int) -> Path:
    return folder / f"{number}.safetensors"


def _save(folder: Path, number: int, part: dict[str, np.ndarray]) -> dict[str, int]:
    save_file(part, _numbered(folder, number), metadata={"format": "pt"})
    return {name: array.nbytes for name, array in part.items()}
