"""A finished model in a folder: replaced as a whole, and read as a whole. No paddle here.

The files of a new model are written into a sub-folder, with a list of their names. One rename of this sub-folder makes
them the model. After it the files of the old model are deleted and the new ones moved up, the list last. A process that
is killed before the rename leaves the old model. One that is killed after it leaves a folder that is refused by
`read_whole`, until the next process that writes there has moved the rest.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from llm.core.console import listed
from llm.core.files import flush, flush_folder, write_json
from llm.core.strict_json import read_object
from llm.core.text.load_tokenizer import OTHER_FILES, TOKENIZER_FILES
from llm.core.text.tokenizer_settings import CONFIG_FILE

LIST, FILES = "finished-model.json", "files"
UNFINISHED, READY, LOCK = "unfinished-model", "ready-model", ".running"
PART = re.compile(r"\.\d+\.part$")  # how a file ends that a killed process was writing
# what weights are saved in: whole or as adapters, safetensors or not, in one file or several
WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.pdparams", "*.pdparams.index.json")
MODEL_FILES = (*WEIGHTS, "lora_config.json")
OF_TRAINING = "settings_origin.json"
# what else may be there of a model: of earlier versions, which left no list, and of what was measured of it later
OTHERS = (
    "calibration.json",
    *("config.json", "generation_config.json", "training_args.bin", "lora_base.json", "reward_format.json"),
    *("settings.json", OF_TRAINING, *TOKENIZER_FILES, *OTHER_FILES, CONFIG_FILE),
)


# ---- reading


@contextlib.contextmanager
def read_whole(folder: Path) -> Iterator[None]:
    """Around reading a model: ValueError where its folder has parts of two, lacks a file, or gets another model
    meanwhile."""
    if problem := problem_of(folder):
        raise ValueError(problem)
    before = _which(folder)
    try:
        yield
    finally:
        if problem_of(folder) or _which(folder) != before:
            raise ValueError(f"{folder}: the model was replaced while it was read. Start the same command again.")


def problem_of(folder: Path) -> str | None:
    """Why what is in the folder is not one whole model. A folder without a list is taken as it is."""
    if is_waiting(folder):
        return (
            f"{folder} has files of two models: the process that put a new one there was ended before it had moved all "
            "of its files. Start its command again, which moves the rest."
        )
    try:
        missing = [name for name in _names(folder / LIST) if not (folder / name).is_file()]
    except ValueError as error:
        return f"{folder}: {error}. Copy the folder again."
    if missing:
        return f"{folder} lacks {listed(sorted(missing))} of the files that {LIST} names. Copy the folder again."
    return None


def is_waiting(folder: Path) -> bool:
    """Whether a new model is whole and not yet in its place."""
    return (folder / READY / LIST).is_file()


def holds_model(folder: Path) -> bool:
    return (folder / LIST).is_file() or any(file for pattern in MODEL_FILES for file in folder.glob(pattern))


def _which(folder: Path) -> tuple[int, int] | None:
    """Another value for every model that is put into a folder."""
    try:
        facts = (folder / LIST).stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_mtime_ns


def _names(file: Path) -> list[str]:
    """Of the files of a model, or none where there is no list. ValueError where it names what can be none of them."""
    if not file.is_file():
        return []
    names = read_object(file).get(FILES)
    if not isinstance(names, list) or not all(map(_is_name, names)):
        raise ValueError(f"{LIST} is not a list of the files of a model")
    return names


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", "..") and Path(name).name == name


# ---- writing


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """ValueError where another process is writing into the folder. What a killed one has left is removed, or completed
    if its model was whole: nobody else can be at work on it."""
    lock = _lock(folder)
    try:
        has_completed = complete(folder)
        remove(folder / UNFINISHED)
        for path in folder.iterdir():
            if PART.search(path.name) and not path.is_dir():
                path.unlink()
        yield has_completed
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.close()


def _lock(folder: Path) -> IO:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    while True:
        file = path.open("w")
        with contextlib.suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                raise ValueError(
                    f"{folder}: another process is writing to this folder now. Wait until it ends, or give another one."
                ) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # whose owner deleted it at its end, after it was opened here


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A sub-folder for a model's files, which make up the folder's model at the end of the block. After an error, the
    folder is as it was."""
    is_new = not folder.exists()
    try:
        with alone_in(folder):
            unfinished = begin(folder)
            try:
                yield unfinished
                finish(folder)
            finally:
                remove(unfinished)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):  # a model is waiting in it
                folder.rmdir()
        raise


def begin(folder: Path) -> Path:
    """An empty sub-folder for a model's files."""
    unfinished = folder / UNFINISHED
    remove(unfinished)
    unfinished.mkdir()
    return unfinished


def finish(folder: Path) -> None:
    """What is in the sub-folder is the folder's model from now on."""
    unfinished = folder / UNFINISHED
    write_json(unfinished / LIST, {FILES: sorted(path.name for path in unfinished.iterdir())})
    flush_folder(unfinished)
    os.rename(unfinished, folder / READY)
    flush(folder)
    complete(folder)


def complete(folder: Path) -> bool:
    """Put a model in its place that is whole and waiting; a process that was killed at this has left the rest to do.
    Other programs cannot read parts of two models meanwhile: weights are deleted first and come last."""
    ready = folder / READY
    waits = not ready.is_symlink() and is_waiting(folder)
    if waits:
        try:
            new = set(_names(ready / LIST))
        except ValueError as error:
            raise ValueError(f"{ready}: {error}. Delete this folder: the model in it is damaged.") from error
        to_move = {name for name in new if os.path.lexists(ready / name)}
        for name in sorted(_all_of_model(folder) - (new - to_move), key=_is_weight, reverse=True):
            (folder / name).unlink(missing_ok=True)
        for name in sorted(to_move, key=_is_weight):
            os.replace(ready / name, folder / name)
        flush(folder)
        os.replace(ready / LIST, folder / LIST)
        flush(folder)
    remove(ready)
    return waits


def _all_of_model(folder: Path) -> set[str]:
    names = {path.name for pattern in (*MODEL_FILES, *OTHERS) for path in folder.glob(pattern)}
    with contextlib.suppress(ValueError):  # a damaged list of the old model
        names |= set(_names(folder / LIST))
    return {name for name in names if (folder / name).is_symlink() or (folder / name).is_file()}


def _is_weight(name: str) -> tuple[bool, str]:
    return any(Path(name).match(pattern) for pattern in WEIGHTS), name


def has_only_leftovers(folder: Path) -> bool:
    """Whether all that is there was left by a process that was killed while it wrote a model into an empty folder, be
    it at its very end. The model of a training is more than that."""
    names = {path.name for path in folder.iterdir() if not PART.search(path.name)}
    found = names - {UNFINISHED, READY, LOCK}
    if not names & {READY, LOCK}:
        return not found
    try:
        of_model = {*_names(folder / LIST), *_names(folder / READY / LIST)}
    except ValueError:
        return False
    return found <= {LIST, *of_model} and OF_TRAINING not in of_model


def remove(path: Path) -> None:
    """A folder, or the link alone that is in its place."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
