"""A finished model in a folder is replaced as a whole. No paddle here.

The files of a new model are written into a sub-folder, with a list of them and their checksums. One rename of this
sub-folder makes them the model. After it the files of the old model are deleted and the new ones moved up, the list
last. A process that is killed before the rename leaves the old model. One that is killed after it leaves a folder that
is refused by `read_whole` (whole.py), until the next process that writes there has moved the rest.
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

from llm.core import file_list
from llm.core.files import flush, flush_folder, open_to_readers, write_json
from llm.core.model.whole import FILES, LIST, READY, WEIGHTS, facts_in, is_waiting
from llm.core.text.load_tokenizer import OTHER_FILES, TOKENIZER_FILES
from llm.core.text.tokenizer_settings import CONFIG_FILE

UNFINISHED, LOCK = "unfinished-model", ".running"
PART = re.compile(r"\.\d+\.part$")  # how a file ends that a killed process was writing
# of its run's last evaluation, or of a benchmark in the same folder; nobody reads the model by them
CHANGE_LATER = ("trainer_state.json", "train_results.json")
MODEL_FILES = (*WEIGHTS, "lora_config.json")
OF_TRAINING = "settings_origin.json"
# what else may be there of a model: of earlier versions, which left no list, and of what was measured of it later
OTHERS = (
    "calibration.json",
    *("config.json", "generation_config.json", "training_args.bin", "lora_base.json", "reward_format.json"),
    *("settings.json", OF_TRAINING, *TOKENIZER_FILES, *OTHER_FILES, CONFIG_FILE),
)


def holds_model(folder: Path) -> bool:
    return (folder / LIST).is_file() or any(file for pattern in MODEL_FILES for file in folder.glob(pattern))


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
    facts = {path.name: file_list.facts_of(path, path.name in CHANGE_LATER) for path in sorted(unfinished.iterdir())}
    write_json(unfinished / LIST, {FILES: facts})
    open_to_readers(unfinished)
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
            new = set(facts_in(ready / LIST))
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
        names |= set(facts_in(folder / LIST))
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
        of_model = {*facts_in(folder / LIST), *facts_in(folder / READY / LIST)}
    except ValueError:
        return False
    return found <= {LIST, *of_model} and OF_TRAINING not in of_model


def remove(path: Path) -> None:
    """A folder, or the link alone that is in its place."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
