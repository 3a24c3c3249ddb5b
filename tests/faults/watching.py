"""The states that a folder goes through while a command writes into it: what a kill at every file operation, or in the
middle of writing a file, would leave there.

A process looks at the folder before each of its own operations that change something. The other ranks of a run are
stopped while it looks.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.faults import trees
from tests.faults.trees import Tree

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate")


def start(folder: Path, store: Path) -> None:
    """From now on in this process."""
    watcher = _Watcher(folder, store)
    sys.addaudithook(watcher.hook)


class _Watcher:
    def __init__(self, folder: Path, store: Path):
        self.folder, self.store = folder, store
        self.mine, self.lock = threading.local(), threading.Lock()
        for name in ("blobs", "processes"):
            (store / name).mkdir(exist_ok=True)
        (store / "processes" / str(os.getpid())).touch()

    def hook(self, event: str, arguments: tuple) -> None:
        if getattr(self.mine, "looks", False) or not self._changes(event, arguments):
            return
        self.mine.looks = True
        try:
            with self.lock, (self.store / "lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                with self._others_stopped():
                    save(
                        self.store,
                        trees.read(self.folder) if self.folder.is_dir() else {},
                        self._renamed(event, arguments),
                    )
        finally:
            self.mine.looks = False

    def _changes(self, event: str, arguments: tuple) -> bool:
        if event == "open":
            return bool(arguments[2] & WRITING) and self._is_inside(arguments[0])
        return event in CHANGES and any(map(self._is_inside, arguments[:2]))

    def _is_inside(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return os.path.abspath(os.fsdecode(path)).startswith(str(self.folder))

    def _renamed(self, event: str, arguments: tuple) -> str | None:
        """What the operation that comes next puts into place whole."""
        is_rename = event == "os.rename"
        return os.path.relpath(os.path.abspath(os.fsdecode(arguments[1])), self.folder) if is_rename else None

    @contextlib.contextmanager
    def _others_stopped(self):
        others = [int(path.name) for path in (self.store / "processes").iterdir() if path.name != str(os.getpid())]
        others = [other for other in others if _state(other) not in ("", "Z")]
        for other in others:
            os.kill(other, signal.SIGSTOP)
        while any(_state(other) not in ("T", "Z", "") for other in others):
            time.sleep(0.001)
        try:
            yield
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)


def _state(process: int) -> str:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


# ---- the states on the disk


def save(store: Path, tree: Tree, renamed: str | None) -> None:
    names = {}
    for name, content in tree.items():
        names[name] = hashlib.sha256(content).hexdigest()
        blob = store / "blobs" / names[name]
        if not blob.exists():
            blob.write_bytes(content)
    with (store / "states").open("a") as file:
        file.write(json.dumps([names, renamed]) + "\n")


def states(store: Path) -> list[Tree]:
    """Different ones, in their order; and each with every file that is new in it half written, but for a file that was
    put into place whole."""
    found: dict[str, Tree] = {}
    blobs = {path.name: path.read_bytes() for path in (store / "blobs").iterdir()}
    before: Tree = {}
    put: str | None = None
    for line in (store / "states").read_text().splitlines():
        names, next_put = json.loads(line)
        tree = {name: blobs[digest] for name, digest in names.items()}
        found.setdefault(json.dumps(names), tree)
        new = [name for name, content in tree.items() if len(content) > 1 and before.get(name) != content]
        for name in (name for name in new if put is None or not f"{name}/".startswith(f"{put}/")):
            found.setdefault(f"{names} {name}", tree | {name: tree[name][: len(tree[name]) // 2]})
        before, put = tree, next_put
    return list(found.values())
