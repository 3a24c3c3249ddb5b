"""Folders as values: what is in one, and a folder that is made to hold exactly that."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

Tree = dict[str, bytes]  # {relative path: content}; a folder's path ends with a slash


def read(folder: Path) -> Tree:
    tree: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        with contextlib.suppress(FileNotFoundError):  # a temporary file has gone in the meantime
            tree |= {f"{name}/": b""} if path.is_dir() else {name: path.read_bytes()}
    return tree


def write(folder: Path, tree: Tree) -> None:
    now = read(folder) if folder.is_dir() else {}
    for name in now.keys() - tree.keys():
        if name.endswith("/"):
            shutil.rmtree(folder / name, ignore_errors=True)
        else:
            (folder / name).unlink(missing_ok=True)
    for name in (name for name in tree if name.endswith("/")):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, content in tree.items():
        if not name.endswith("/") and now.get(name) != content:
            (folder / name).write_bytes(content)
