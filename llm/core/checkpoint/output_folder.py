"""May this run write into output_dir, and does it resume from a checkpoint there? Decided before a model is loaded."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from llm.core.checkpoint import checkpoints, compatibility
from llm.core.console import listed
from llm.core.parallel.ranks import say

SETTINGS_FILE = "settings.json"
PROBE, LOCK = ".probe-", ".running"
PASSING = (PROBE, LOCK, ".nfs", ".seen-by-all-")  # how the names of files begin that say nothing about the folder


class Asked(Protocol):
    """The settings of a run that decide it."""

    @property
    def do_train(self) -> bool: ...
    @property
    def overwrite_output_dir(self) -> bool: ...
    @property
    def resume_from_checkpoint(self) -> str | None: ...
    @property
    def logging_dir(self) -> str | None: ...


def check(folder: Path, asked: Asked, model_path: str) -> None:
    """ValueError where the run must not write, or names a checkpoint that is none. Before any data is read."""
    given = asked.resume_from_checkpoint
    if folder.resolve() == Path(model_path).resolve():
        raise ValueError(
            f"output_dir: {folder} is the folder of model_name_or_path, and training would write over the model it "
            "starts from. Give another folder."
        )
    _check_writable(folder, "output_dir")
    if asked.logging_dir:
        _check_writable(Path(asked.logging_dir), "logging_dir")
    if given and asked.overwrite_output_dir:
        raise ValueError(
            f"overwrite_output_dir: would delete the checkpoints in {folder} before the run resumes from {given}. "
            "Leave out overwrite_output_dir or resume_from_checkpoint."
        )
    if given and (faults := checkpoints.faults_of_sizes(_absolute(given))):
        raise ValueError(_not_whole(_absolute(given), faults))
    if asked.overwrite_output_dir and asked.do_train and folder in Path(model_path).absolute().parents:
        raise ValueError(
            f"overwrite_output_dir: would delete {model_path}, from which this run starts, with the checkpoints in "
            f"{folder}. Give another output_dir."
        )
    if given or asked.overwrite_output_dir:
        return
    # a run killed while it wrote its first file leaves the unfinished part of it
    foreign = [path for path in folder.iterdir() if not path.name.startswith(PASSING) and path.suffix != ".part"]
    if foreign and not (folder / SETTINGS_FILE).exists():
        raise ValueError(
            f"output_dir: {folder} holds files that are not from a run of this script, and a run would write among "
            "them. Give an empty or new folder, or set overwrite_output_dir true to use this one."
        )


def find_checkpoint(
    folder: Path, asked: Asked, identity: dict, defaults: dict, faults_of: Callable[[Path], list[str]]
) -> Path | None:
    """The checkpoint to resume from, or None for a fresh start. ValueError where it is of another run, or where those
    that are there are damaged. `defaults` are those of settings in the identity. `faults_of` a checkpoint are what it
    lacks although its files are those of its list."""
    if asked.resume_from_checkpoint:
        given = _absolute(asked.resume_from_checkpoint)
        if faults := _faults(given, identity, defaults, faults_of):
            raise ValueError(_not_whole(given, faults))
        return given
    if not asked.do_train or asked.overwrite_output_dir:
        return None
    damaged = []
    for checkpoint in reversed(checkpoints.all_checkpoints(folder)):
        if not (checkpoint / checkpoints.FILE_LIST).exists():
            say(f"ignored {checkpoint.name}: it is half-written (the run was stopped while saving it)")
        elif faults := _faults(checkpoint, identity, defaults, faults_of):
            damaged.append(f"{checkpoint.name}: {listed(faults)}")
            say(f"ignored {checkpoint.name}: it is damaged: {listed(faults)}")
        else:
            return checkpoint
    if damaged:
        raise ValueError(
            f"output_dir: every checkpoint in {folder} is damaged, and the run would start again from its first "
            "update:\n  " + "\n  ".join(damaged) + "\nPut back files that you have a copy of. Or delete these "
            "checkpoints, or set overwrite_output_dir true, to start again."
        )
    return None


def _faults(checkpoint: Path, identity: dict, defaults: dict, faults_of: Callable[[Path], list[str]]) -> list[str]:
    """The identity first: a checkpoint of another model lacks what this one needs, and that is not its fault."""
    if faults := checkpoints.faults(checkpoint):
        return faults
    try:
        differences = compatibility.identity_differences(checkpoint, identity, defaults)
    except ValueError as error:
        return [str(error)]
    if differences:
        raise ValueError(
            f"output_dir: {checkpoint} was written by another run, and resuming from it would mix the two:\n  "
            + "\n  ".join(differences)
            + "\nGive another output_dir, or set overwrite_output_dir true to start afresh and delete the old "
            "checkpoints, or restore the settings."
        )
    return faults_of(checkpoint)


def _not_whole(checkpoint: Path, faults: list[str]) -> str:
    return (
        f"resume_from_checkpoint: {checkpoint} is not a whole checkpoint of this script: {listed(faults)}. Give "
        "another one, or leave the setting out to resume from the last whole checkpoint in output_dir."
    )


@contextlib.contextmanager
def locked(output_dir: Path, first_rank: bool) -> Iterator[None]:
    """Two runs that write into one folder at the same time would mix."""
    if not first_rank:
        yield
        return
    with (output_dir / LOCK).open("w") as file:
        with contextlib.suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"output_dir: another run is writing to {output_dir} now. Wait until it "
                    "ends, or give another folder."
                ) from None
        yield


def delete_checkpoints(output_dir: Path) -> None:
    """What overwrite_output_dir asks for; once nothing can be refused any more."""
    for old in checkpoints.all_checkpoints(output_dir):
        shutil.rmtree(old)


def _absolute(path: str) -> Path:
    return Path(path).expanduser().absolute()


def _check_writable(folder: Path, setting: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=PROBE) as file:
            file.write(b"x")
    except OSError as error:
        raise ValueError(
            f"{setting}: {folder} cannot be written ({error.strerror or error}). Give a folder that you may write, "
            "on a disk with room."
        ) from error
