"""Which checkpoints are whole, which run they belong to, and which are deleted. No paddle here.

A checkpoint counts once its file list is written: the list is written last, in one rename, with the size of
every file, so a run killed while saving leaves a folder that is recognised as half-written and ignored.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from llm.core.files import files_in, move_into, read_json, write_json

FILE_LIST = "checkpoint_files.json"
IDENTITY = "run_identity.json"


def mark_complete(folder: Path) -> None:
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in files_in(folder) if path.name != FILE_LIST}
    write_json(folder / FILE_LIST, sizes)


def is_complete(folder: Path) -> bool:
    try:
        sizes = read_json(folder / FILE_LIST)
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def all_checkpoints(output_dir: Path) -> list[Path]:
    """Whole or not, by rising step."""
    folders = [path for path in output_dir.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted((path for path in folders if path.is_dir()), key=step_of)


def step_of(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def last_complete(output_dir: Path) -> tuple[Path | None, list[Path]]:
    """The newest whole checkpoint, and the newer ones that are half-written."""
    half_written: list[Path] = []
    for folder in reversed(all_checkpoints(output_dir)):
        if is_complete(folder):
            return folder, half_written
        half_written.append(folder)
    return None, half_written


def delete_old(output_dir: Path, keep: int | None, best: str | None) -> list[Path]:
    """Delete all but the newest `keep` whole checkpoints; the best one is kept, too. Half-written folders older than
    the newest whole one are useless and are deleted, too."""
    whole = [folder for folder in all_checkpoints(output_dir) if is_complete(folder)]
    if not keep or keep < 1 or not whole:
        return []
    kept = {folder.name for folder in whole[-keep:]} | ({Path(best).name} if best else set())
    old = [path for path in all_checkpoints(output_dir) if path.name not in kept and step_of(path) < step_of(whole[-1])]
    for folder in old:
        try:
            (folder / FILE_LIST).unlink(missing_ok=True)  # first: a kill while deleting leaves no whole-looking one
            shutil.rmtree(folder)
        except OSError as error:
            print(f"{folder} is no longer needed and could not be deleted: {error}", flush=True)
    return old


# what a model is saved in, in one of its forms: whole or as adapters, safetensors or not, in one file or several
MODEL_FILES = ("*.safetensors", "*.safetensors.index.json", "*.pdparams", "*.pdparams.index.json", "lora_config.json")


def replace_model(source: Path, target: Path) -> None:
    """Move the files of a finished model into `target`, and delete those of a model that was there in another form,
    which would be taken for a part of it."""
    new = {path.name for path in files_in(source)}
    move_into(source, target)
    for old in (path for pattern in MODEL_FILES for path in target.glob(pattern)):
        if old.name not in new:
            old.unlink()
