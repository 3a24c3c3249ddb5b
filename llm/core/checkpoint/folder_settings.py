"""Problems of the settings that name folders, known before any data is read; nothing is created. No paddle here."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from llm.core.checkpoint import checkpoints, output_folder
from llm.core.checkpoint.output_folder import absolute
from llm.core.model import replacement, whole
from llm.core.parallel import ranks
from llm.core.settings.settings import Settings

PROBE = ".probe-"
PASSING = (PROBE, replacement.LOCK, ".nfs", ranks.SEEN_BY_ALL)  # how names begin that say nothing about the folder
GIVE_FOLDER = "give a folder that you may write, on a disk with room"


def note_problems(settings: Settings, model_path: str, writes_model: bool) -> None:
    """With the other problems of the settings: where the run must not write, and a checkpoint that is none."""
    folder, given = absolute(settings["output_dir"]), settings["resume_from_checkpoint"]
    if why := _why_not_writable(folder) or _why_not_this_folder(settings, folder, model_path, writes_model):
        settings.refuse("output_dir", why)
    if settings["logging_dir"] and (why := _why_not_writable(absolute(settings["logging_dir"]))):
        settings.refuse("logging_dir", why)
    if given and (faults := checkpoints.faults_of_sizes(absolute(given))):
        settings.refuse("resume_from_checkpoint", output_folder.not_whole(faults))
    if not settings["overwrite_output_dir"]:
        return
    if given:
        why = f"would delete the checkpoints in {folder} before the run resumes from {given}"
        settings.refuse("overwrite_output_dir", f"{why}; leave out this setting or resume_from_checkpoint")
    if settings["do_train"] and model_path and folder in absolute(model_path).parents:
        why = f"would delete {model_path}, from which this run starts, with the checkpoints in {folder}"
        settings.refuse("overwrite_output_dir", f"{why}; give another output_dir")


def _why_not_writable(folder: Path) -> str:
    """Tried with a file without a name, in the folder or in the first one above it that is there."""
    try:
        place = folder
        while not _is_there(place):
            place = place.parent
        with tempfile.TemporaryFile(dir=place, prefix=PROBE) as file:
            file.write(b"x")
    except (OSError, ValueError) as error:  # ValueError: no folder can have such a name
        return f"cannot be written ({getattr(error, 'strerror', None) or error}); {GIVE_FOLDER}"
    return ""


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError as error:
        if path.is_symlink():
            raise ValueError(f"{path} is a symbolic link that leads nowhere") from error
        return False
    return True


def _why_not_this_folder(settings: Settings, folder: Path, model_path: str, writes_model: bool) -> str:
    given = settings["resume_from_checkpoint"]
    if model_path and os.path.realpath(folder) == os.path.realpath(model_path):
        return "is the folder of model_name_or_path, and training would replace the model it starts from; give another"
    if settings["overwrite_output_dir"] or not folder.is_dir():
        return ""
    all_checkpoints = checkpoints.all_checkpoints(folder)
    resumed = absolute(given) if given else all_checkpoints[-1] if all_checkpoints else None
    # a model that waits for its place gets there first, by the run itself
    is_kept = writes_model and not whole.is_waiting(folder) and output_folder.keeps_model(folder, resumed)
    if is_kept:
        return output_folder.WOULD_REPLACE
    if not given and _is_foreign(folder):
        why = "holds files that are not from a run of this script, and a run would write among them"
        return f"{why}; give an empty or new folder, or set overwrite_output_dir true to use this one"
    return ""


def _is_foreign(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    # a run killed while it wrote its first file leaves the unfinished part of it
    names = {name for name in names if not name.startswith(PASSING) and not replacement.PART.search(name)}
    return bool(names) and not names & output_folder.OF_RUNS
