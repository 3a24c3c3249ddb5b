"""Files that are written all or nothing. No paddle here."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path
from typing import Any


def write_json(path: Path, content: object) -> None:
    """All or nothing: a reader never sees half a file, and a failed write leaves what was there before."""
    text = json.dumps(content, indent=2, ensure_ascii=False, default=repr) + "\n"
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def checksum(path: Path) -> str:
    value = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            value = zlib.crc32(piece, value)
    return f"crc32 {value:08x}"


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def move_into(source: Path, target: Path) -> None:
    """Move the files of a finished folder into `target`, one rename each, over what has the same name there."""
    for path in files_in(source):
        destination = target / path.relative_to(source)
        destination.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, destination)
    shutil.rmtree(source)


def files_in(folder: Path) -> list[Path]:
    """All of them, those of sub-folders included."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
