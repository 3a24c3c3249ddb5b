"""Files that are written all or nothing, are on the disk when they count, and are recognised again. No paddle here."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import xxhash

FLUSHED_AT_ONCE = 16  # a file system writes its journal once for all that wait


def write_json(path: Path, content: object) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=repr) + "\n")


def write_text(path: Path, text: str) -> None:
    """All or nothing: a reader never sees half a file, and a failed write leaves what was there before."""
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
    value = xxhash.xxh3_128()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            value.update(piece)
    return f"xxh3_128 {value.hexdigest()}"


def checksum_of_json(content: dict[str, Any]) -> str:
    """Of what it says, however it is written."""
    return f"xxh3_128 {xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())}"


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def files_in(folder: Path) -> list[Path]:
    """All of them, those of sub-folders included."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def open_to_readers(folder: Path) -> None:
    """safetensors writes files that nobody else may read. They get what the folder's permissions give."""
    mode = folder.stat().st_mode & 0o666
    for path in files_in(folder):
        if path.suffix == ".safetensors":
            path.chmod(mode)


def flush_folder(folder: Path) -> None:
    """To the disk: the content of all files in it, whoever wrote them on this machine, and all names."""
    with ThreadPoolExecutor(FLUSHED_AT_ONCE) as pool:
        list(pool.map(flush, files_in(folder)))
    for path in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        flush(path)


def flush(path: Path) -> None:
    """A file's content, or the names in a folder: of a new file or a rename the name is lost with the power, too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems that have no such thing for a folder
            raise
    finally:
        os.close(descriptor)
