"""What is in output_dir: a checkpoint to resume from, a finished model, the settings of a run in progress.

A run looks at it while no other one can write there.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from llm.core.checkpoint import checkpoints, compatibility
from llm.core.console import listed
from llm.core.model import replacement, whole
from llm.core.parallel import ranks
from llm.core.parallel.ranks import say

SETTINGS_FILE = "settings.json"  # of a model
SETTINGS_OF_EVALUATION, SETTINGS_OF_BENCHMARK = "eval_settings.json", "benchmark_settings.json"
IN_PROGRESS = "run-in-progress"  # a folder with the settings of a run whose model is not there yet
OF_RUNS = {SETTINGS_FILE, SETTINGS_OF_EVALUATION, SETTINGS_OF_BENCHMARK, IN_PROGRESS, whole.READY}
EVALUATIONS = ("eval_results.json", "test_results.json")
WOULD_REPLACE = (
    "holds a finished model and no checkpoint of it to resume from, so the run would replace this model; give another "
    "folder, or set overwrite_output_dir true to replace it"
)
COMPLETED = "the model that the last run had finished is in its place now: that run was ended while it moved the files"


class Asked(Protocol):
    """The settings of a run that decide it."""

    @property
    def do_train(self) -> bool: ...
    @property
    def overwrite_output_dir(self) -> bool: ...
    @property
    def resume_from_checkpoint(self) -> str | None: ...


def find_checkpoint(
    folder: Path,
    asked: Asked,
    identity: dict,
    defaults: dict,
    faults_of: Callable[[Path], list[str]],
    writes_model: bool = True,
) -> Path | None:
    """The checkpoint to resume from, or None for a fresh start. ValueError where it is of another run, where those
    that are there are damaged, or where the run would replace what it must not. `defaults` are those of settings in the
    identity. `faults_of` a checkpoint are what it lacks although its files are those of its list."""
    if not asked.do_train:
        return None
    found = _given_or_newest(folder, asked, identity, defaults, faults_of)
    _check_links(folder, checkpoints.step_of(found) if found else 0)
    if writes_model and not asked.overwrite_output_dir and keeps_model(folder, found):
        raise ValueError(f"output_dir: {folder} {WOULD_REPLACE}.")
    return found


def keeps_model(folder: Path, resumed: Path | None) -> bool:
    """Whether a model is there, and of another run than the one that resumes from a checkpoint. Only the run that
    made the model, or one that may replace it, has left checkpoints in the same folder."""
    is_of_folder = resumed is not None and os.path.realpath(resumed.parent) == os.path.realpath(folder)
    return not is_of_folder and replacement.holds_model(folder)


def _check_links(folder: Path, resumed: int) -> None:
    """A run would delete or write through links to folders of somebody else."""
    links = [path for path in folder.glob("checkpoint-*") if path.is_symlink() and re.fullmatch(r"\D+\d+", path.name)]
    if later := sorted(path.name for path in links if checkpoints.step_of(path) > resumed):
        raise ValueError(
            f"output_dir: {listed(later)} in {folder} are symbolic links, and the run would write its own checkpoints "
            "in their place. What they lead to is left alone: delete the links, or give another output_dir."
        )


def _given_or_newest(
    folder: Path, asked: Asked, identity: dict, defaults: dict, faults_of: Callable[[Path], list[str]]
) -> Path | None:
    if asked.resume_from_checkpoint:
        given = absolute(asked.resume_from_checkpoint)
        if faults := _faults(given, identity, defaults, faults_of):
            raise ValueError(f"resume_from_checkpoint: {given} {not_whole(faults)}.")
        return given
    if asked.overwrite_output_dir:
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


def not_whole(faults: list[str]) -> str:
    return (
        f"is not a whole checkpoint of this script: {listed(faults)}; give another one, or leave the setting out to "
        "resume from the last whole checkpoint in output_dir"
    )


@contextlib.contextmanager
def locked(output_dir: Path) -> Iterator[None]:
    """By the first rank. Two runs that write into one folder at the same time would mix."""
    with contextlib.ExitStack() as stack:
        if ranks.decided_by_first(lambda: stack.enter_context(replacement.alone_in(output_dir))):
            say(f"output_dir: {COMPLETED}")
        yield


def delete_checkpoints(output_dir: Path) -> None:
    """What overwrite_output_dir asks for; once nothing can be refused any more."""
    for old in checkpoints.all_checkpoints(output_dir):
        shutil.rmtree(old)


def end_run(output_dir: Path, is_new: bool) -> None:
    """Its model is there, with its settings. An evaluation of the model that was there before goes with that one."""
    replacement.remove(output_dir / IN_PROGRESS)
    if is_new:
        for name in EVALUATIONS:
            (output_dir / name).unlink(missing_ok=True)


def absolute(path: str) -> Path:
    return Path(os.path.expanduser(path)).absolute()
