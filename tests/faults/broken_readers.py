"""Readers that do what none should: with them a test of the sweep sees that it notices."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.faults.readers_of_data import Reader, is_json


def prepare(base: Path, folder: Path) -> None:
    (folder / "file.json").write_text("[1]")


def read_unless_changed(fault):
    def read(base: Path, folder: Path, name: str) -> object:
        content = (folder / name).read_bytes()
        return [1] if content == b"[1]" else fault(content)

    return read


def refuse(content: bytes) -> None:
    raise ValueError(content)


READERS = {
    name: Reader({"file.json": lambda random, content: b"[1, 2"}, prepare, read_unless_changed(fault), is_json)
    for name, fault in {
        "hang": lambda content: time.sleep(3600),
        "end": lambda content: os._exit(0),
        "traceback": lambda content: [][1],
        "silent": len,
        "wrong message": refuse,
    }.items()
}
