"""Which checkpoints are whole, and which are deleted. No paddle here.

A checkpoint counts once its file list is written. The list is written last, in one rename, when all files are on the
disk: a run killed while saving leaves a folder that is recognised as half-written and ignored. The list has the size
and a checksum of every file, by which a file that has changed since is noticed.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from llm.core.files import checksum, files_in, flush, flush_folder, write_json
from llm.core.strict_json import read_object

FILE_LIST = "checkpoint_files.json"
IDENTITY = "run_identity.json"
SIZE, CHECKSUM = "size", "checksum"


def mark_complete(folder: Path) -> None:
    flush_folder(folder)
    flush(folder.parent)
    files = [path for path in files_in(folder) if path.name != FILE_LIST]
    facts = {str(path.relative_to(folder)): {SIZE: path.stat().st_size, CHECKSUM: checksum(path)} for path in files}
    write_json(folder / FILE_LIST, facts)
    flush(folder)


def is_complete(folder: Path) -> bool:
    """By the sizes alone. This decides what is deleted after every save, and reading all checkpoints again would take
    longer than the save; whether a run can go on from one is decided by `faults`."""
    return not faults_of_sizes(folder)


def faults_of_sizes(folder: Path) -> list[str]:
    """What is wrong with the list or with the size of a file."""
    return _faults(folder, with_checksums=False)


def faults(folder: Path, only: Iterable[str] = ("*",)) -> list[str]:
    """What is wrong with the list or with a file, which is read whole. `only` files with such names are looked at."""
    return _faults(folder, with_checksums=True, only=tuple(only))


def _faults(folder: Path, with_checksums: bool, only: tuple[str, ...] = ("*",)) -> list[str]:
    path = folder / FILE_LIST
    if not path.is_file():
        return [f"{FILE_LIST} is missing"]
    try:
        facts = read_object(path)
    except ValueError as error:
        return [str(error)]
    if not facts:
        return [f"{FILE_LIST} names no file"]
    looked_at = {name: fact for name, fact in facts.items() if any(fnmatch(name, pattern) for pattern in only)}
    return [fault for name, fact in looked_at.items() if (fault := _fault(folder / name, name, fact, with_checksums))]


def _fault(path: Path, name: str, fact: Any, with_checksum: bool) -> str:
    """`fact` is the size alone in the list of an early checkpoint."""
    fact = fact if isinstance(fact, dict) else {SIZE: fact, CHECKSUM: None}
    size, wanted = fact.get(SIZE), fact.get(CHECKSUM, "")
    if type(size) is not int or (wanted is not None and not isinstance(wanted, str)):
        return f"{FILE_LIST} has no size and checksum for {name}"
    try:
        if not path.is_file():
            return f"{name} is missing"
        if (found := path.stat().st_size) != size:
            return f"{name} has {found:,} bytes instead of {size:,}"
        if with_checksum and wanted is not None and checksum(path) != wanted:
            return f"{name} has changed since it was saved (its checksum differs)"
    except (OSError, ValueError) as error:  # an input/output error of the disk, a name that cannot be one
        return f"{name} cannot be read ({error})"
    return ""


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
