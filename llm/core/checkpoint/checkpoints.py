"""Which checkpoints are whole, and which are deleted. No paddle here.

A checkpoint counts once its file list is written. The list is written last, in one rename, when all files are on the
disk: a run killed while saving leaves a folder that is recognised as half-written and ignored. The list has the size
and a checksum of every file, by which a file that has changed since is noticed.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from llm.core import file_list
from llm.core.files import files_in, flush, flush_folder, open_to_readers, write_json

FILE_LIST = file_list.OF_CHECKPOINT
IDENTITY = "run_identity.json"


def mark_complete(folder: Path) -> None:
    open_to_readers(folder)
    flush_folder(folder)
    flush(folder.parent)
    files = [path for path in files_in(folder) if path.name != FILE_LIST]
    write_json(folder / FILE_LIST, {str(path.relative_to(folder)): file_list.facts_of(path) for path in files})
    flush(folder)


def is_complete(folder: Path) -> bool:
    """By the sizes alone. This decides what is deleted after every save, and reading all checkpoints again would take
    longer than the save; whether a run can go on from one is decided by `faults`."""
    return not faults_of_sizes(folder)


def faults_of_sizes(folder: Path) -> list[str]:
    """What is wrong with the list or with the size of a file."""
    return file_list.faults_of_checkpoint(folder, unread=file_list.ALL)


def faults(folder: Path, only: tuple[str, ...] = file_list.ALL) -> list[str]:
    """What is wrong with the list or with a file, which is read whole. `only` files with such names are looked at."""
    return file_list.faults_of_checkpoint(folder, only)


def all_checkpoints(output_dir: Path) -> list[Path]:
    """Whole or not, by rising step."""
    folders = [path for path in output_dir.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted((path for path in folders if path.is_dir()), key=step_of)


def step_of(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def delete_old(output_dir: Path, keep: int | None, best: str | None) -> list[Path]:
    """Delete all but the newest `keep` whole checkpoints; the best one is kept, too, and links are. Half-written
    folders older than the newest whole one are useless and are deleted, too."""
    whole = [folder for folder in all_checkpoints(output_dir) if is_complete(folder)]
    if not keep or keep < 1 or not whole:
        return []
    kept = {folder.name for folder in whole[-keep:]} | ({Path(best).name} if best else set())
    others = [path for path in all_checkpoints(output_dir) if path.name not in kept and not path.is_symlink()]
    old = [path for path in others if step_of(path) < step_of(whole[-1])]
    for folder in old:
        try:
            (folder / FILE_LIST).unlink(missing_ok=True)  # first: a kill while deleting leaves no whole-looking one
            shutil.rmtree(folder)
        except OSError as error:
            print(f"{folder} is no longer needed and could not be deleted: {error}", flush=True)
    return old
