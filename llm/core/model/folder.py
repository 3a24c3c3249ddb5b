"""Which folder a model setting means, and whether it holds what a model needs."""

from __future__ import annotations

import os
import re
from pathlib import Path

from llm.core.console import listed
from llm.core.model import whole
from llm.core.paths import resolve_path
from llm.core.strict_json import read_object
from llm.core.text.load_tokenizer import OTHER_FILES, TOKENIZER_FILES
from llm.core.text.tokenizer_settings import CONFIG_FILE

ADAPTER_CONFIG = "lora_config.json"
WEIGHT_FILES = ("model.safetensors", "model_state.pdparams")
FILE_NAME = re.compile(r"[^/\\\0]{1,200}\.(safetensors|pdparams)")
WEIGHT_INDEXES = tuple(f"{name}.index.json" for name in WEIGHT_FILES)


def find_model(name_or_path: str, setting: str = "model_name_or_path") -> str:
    """A folder's absolute path, checked for what a model needs, or a model's name as PaddleNLP knows it. The weights
    themselves are checked when they are loaded."""
    owner, slash, _ = name_or_path.partition("/")
    can_be_a_name = name_or_path.count("/") <= 1 and name_or_path.isprintable() and owner not in (".", "..", "~", "")
    is_near_a_folder = bool(slash) and os.path.isdir(owner)  # Path.is_dir raises where a name is too long
    try:
        folder = resolve_path(name_or_path)
    except ValueError:
        if can_be_a_name and not is_near_a_folder:
            return name_or_path
        raise ValueError(
            f"{setting}: {name_or_path!r} is not a folder here (looked in {Path.cwd()} and from the repository's root) "
            "nor a model name of the form owner/name. Give the folder that holds config.json and the weights."
        ) from None
    check = _check_tokenizer_folder if setting.startswith("tokenizer") else _check_model_folder
    try:
        check(folder)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from error
    return str(folder)


def _check_tokenizer_folder(folder: Path) -> None:
    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        names = ", ".join(TOKENIZER_FILES)
        raise ValueError(f"{folder} holds no tokenizer (none of {names}). Give the folder that does.")
    if problem := whole.problem_of(folder, only=(*TOKENIZER_FILES, *OTHER_FILES, CONFIG_FILE)):
        raise ValueError(problem)


def _check_model_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder. Give one that holds config.json and weights.")
    if (folder / ADAPTER_CONFIG).is_file():
        raise ValueError(
            f"{folder} holds LoRA adapters, which are not a model by themselves. Merge them into "
            f"their base first (python -m llm merge-lora {folder} NEW_FOLDER) and give the new folder."
        )
    if problem := whole.problem_of(folder, unread=whole.WEIGHTS):
        raise ValueError(problem)
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    files = weight_files(folder)
    missing += [file.name for file in files if not file.is_file()]
    if not files:
        is_pickled = any(folder.glob("pytorch_model*.bin"))
        hint = "; PyTorch's .bin files are not read, convert them to safetensors" if is_pickled else ""
        missing.append(f"weights ({' or '.join((*WEIGHT_FILES, *WEIGHT_INDEXES))}{hint})")
    if missing:
        raise ValueError(
            f"the folder {folder} is incomplete: {', '.join(missing)} missing. "
            "Copy or download it again, or give another folder."
        )


def weight_files(folder: Path) -> list[Path]:
    """Of a model: those that the index lists, which need not be there, or the one that is there; none where there is
    neither. ValueError names an index that is none."""
    for name, index in zip(WEIGHT_FILES, WEIGHT_INDEXES, strict=True):
        if (folder / index).is_file():
            return [folder / file for file in _names_in(folder / index)]
        if (folder / name).is_file():
            return [folder / name]
    return []


def _names_in(index: Path) -> list[str]:
    what = f"{index} is not an index of weights"
    try:
        places = read_object(index).get("weight_map")
    except ValueError as error:
        raise ValueError(f"{what} ({error}). Copy or download the folder again.") from None
    if not isinstance(places, dict) or not places:
        raise ValueError(f"{what}: it has no weight_map. Copy or download the folder again.")
    names = list(dict.fromkeys(map(str, places.values())))
    if wrong := [name for name in names if not FILE_NAME.fullmatch(name)]:
        raise ValueError(f"{what}: {listed(wrong, 2)[:200]} cannot be a file of it. Copy or download the folder again.")
    return sorted(names)
