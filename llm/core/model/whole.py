"""Whether a folder holds one whole model, as its list of files says: that of a finished model, or of a checkpoint. No
paddle here."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm.core import file_list
from llm.core.console import listed
from llm.core.strict_json import read_object

LIST, FILES = "finished-model.json", "files"
READY = "ready-model"  # a sub-folder with a whole model that is not in its place yet
# what weights are saved in: whole or as adapters, safetensors or not, in one file or several
WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.pdparams", "*.pdparams.index.json")
CHECKPOINT = re.compile(r"checkpoint-\d+")
OF_OPTIMIZER = ("optimizer*", "master_weights*")  # files of a checkpoint that no reader of its model needs
# of this project's runs: in the checkpoint, and in the folder around it
SIGNS = ("reward_format.json", "sft_format.json", "../settings.json", "../run-in-progress")


@contextlib.contextmanager
def read_whole(folder: Path) -> Iterator[None]:
    """Around reading a model: ValueError where its folder has parts of two, where a file is missing or has changed, or
    where it gets another model meanwhile."""
    before = _which(folder)
    if is_waiting(folder):
        raise ValueError(_of_two_models(folder))
    try:
        if problem := problem_of(folder):
            raise ValueError(problem)
        yield
    finally:
        if is_waiting(folder) or _which(folder) != before:
            raise ValueError(f"{folder}: the model was replaced while it was read. Start the same command again.")


def problem_of(folder: Path, only: tuple[str, ...] = file_list.ALL, unread: tuple[str, ...] = ()) -> str | None:
    """Why what is in the folder is not one whole model. A folder without a list is taken as it is. Files are read, but
    for those whose names match `unread`. `only` files with such names are looked at."""
    if is_waiting(folder):
        return _of_two_models(folder)
    if (folder / file_list.OF_CHECKPOINT).is_file() or _is_half_written(folder):
        return _problem_of_checkpoint(folder, only, unread)
    try:
        facts = {name: fact for name, fact in facts_in(folder / LIST).items() if file_list.matches(name, only)}
    except ValueError as error:
        return f"{folder}: {error}. Copy the folder again."
    if faults := file_list.faults(folder, facts, LIST, unread):
        return (
            f"{folder} is not the model that was saved there: {listed(faults)}. Copy the folder again. If you have "
            f"changed it on purpose, delete {LIST}, and it is read as it is."
        )
    return None


def is_waiting(folder: Path) -> bool:
    """Whether a new model is whole and not yet in its place."""
    return (folder / READY / LIST).is_file()


def facts_in(file: Path) -> dict[str, Any]:
    """What a finished model's list keeps of each file, or nothing where there is no list; that of an early version has
    the names alone. ValueError where it names what can be no file of a model."""
    if not file.is_file():
        return {}
    files = read_object(file).get(FILES)
    if isinstance(files, list) and all(isinstance(name, str) for name in files):
        files = {name: {file_list.CHANGES: True} for name in files}
    if not isinstance(files, dict) or not all(map(_is_name, files)):
        raise ValueError(f"{LIST} is not a list of the files of a model")
    return files


def _of_two_models(folder: Path) -> str:
    return (
        f"{folder} has files of two models: the process that put a new one there was ended before it had moved all "
        "of its files. Start its command again, which moves the rest."
    )


def _is_half_written(folder: Path) -> bool:
    """Whether it is a checkpoint of this project without its list. Other programs call their folders so, too."""
    place = folder.resolve()
    return bool(CHECKPOINT.fullmatch(place.name)) and any((place / sign).exists() for sign in SIGNS)


def _problem_of_checkpoint(folder: Path, only: tuple[str, ...], unread: tuple[str, ...]) -> str | None:
    if not (folder / file_list.OF_CHECKPOINT).is_file():
        return f"{folder} is a half-written checkpoint: the run was stopped while saving it. Give another one."
    faults = file_list.faults_of_checkpoint(folder, only, unread, ignored=OF_OPTIMIZER)
    return (
        f"{folder} is a damaged checkpoint: {listed(faults)}. Give another one, or copy it again." if faults else None
    )


def _which(folder: Path) -> tuple[int, int] | None:
    """Another value for every model that is put into a folder."""
    for name in (LIST, file_list.OF_CHECKPOINT):
        with contextlib.suppress(FileNotFoundError):
            facts = (folder / name).stat()
            return facts.st_ino, facts.st_mtime_ns
    return None


def _is_name(name: str) -> bool:
    return name not in ("", "..") and Path(name).name == name
