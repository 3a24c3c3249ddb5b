"""Thousands of changed files for a reader: it reads each as what it is, or refuses it in a plain message, in bounded
time."""

from __future__ import annotations

import hashlib
import importlib
import resource
import socket
import tempfile
import traceback
from pathlib import Path
from random import Random
from typing import NoReturn

from llm.core.console import UNSEEN
from tests.faults.one_by_one import Case, outcomes
from tests.faults.outcomes import (
    MESSAGE,
    NO_EFFECT,
    NOT_DETECTABLE,
    SILENT,
    TRACEBACK,
    WRONG_MESSAGE,
    Row,
)

READERS = "tests.faults.readers"  # which imports paddle: in the other process
SECONDS = 20  # for one file
MEMORY = 16 << 30  # of addresses
LONGEST = 20_000  # characters of a message


def sweep(base: Path, reader: str, seed: int, numbers: range, module: str = READERS, seconds: float = SECONDS) -> Row:
    """`numbers` of mutants: with the seed and the reader's name they say what each is."""
    row = Row(reader)
    found = outcomes(bounded_reading, (base, reader, seed, module), numbers, seconds)
    for number, (outcome, what) in zip(numbers, found, strict=True):
        row.add(outcome, f"--only {reader!r} --seed {seed} --number {number}: {what}")
    return row


def bounded_reading(folder: Path, base: Path, reader: str, seed: int, module: str) -> Case:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    socket.socket.connect = socket.getaddrinfo = no_network
    return reading(folder, base, reader, seed, module)


def reading(folder: Path, base: Path, reader: str, seed: int, module: str) -> Case:
    """Of the files as they are, before those that are changed."""
    read = _Reading(base, folder / "files", importlib.import_module(module).READERS[reader])
    return lambda number: read.outcome_of(Random(f"{seed} {reader} {number}"))


def no_network(*_, **__) -> NoReturn:
    """A name that is not a folder's is one that a hub may know."""
    raise OSError("there is no network here")


class _Reading:
    def __init__(self, base: Path, folder: Path, reader):
        self.base, self.folder, self.reader = base, folder, reader
        folder.mkdir()
        reader.prepare(base, folder)
        self.contents = {name: (folder / name).read_bytes() for name in reader.mutants}
        self.results = {name: reader.read(base, folder, name) for name in reader.mutants}
        self.known: dict[tuple[str, bytes], tuple[str, str]] = {}

    def outcome_of(self, random: Random) -> tuple[str, str]:
        """Of one changed file, which is then as it was. Many changes make the same of a short one: it is read once."""
        name = random.choice(list(self.contents))
        content = self.reader.mutants[name](random, self.contents[name])
        known = name, hashlib.sha256(content).digest()
        if known not in self.known:
            (self.folder / name).write_bytes(content)
            outcome, what = self._read(name, content)
            (self.folder / name).write_bytes(self.contents[name])
            self.known[known] = outcome, f"{name} {ascii(content[:60])}: {what}"
        return self.known[known]

    def _read(self, name: str, content: bytes) -> tuple[str, str]:
        try:
            result = self.reader.read(self.base, self.folder, name)
        except (ValueError, OSError) as error:
            text = str(error)
            named = any(one in text for one in (name, *self.reader.other_names))
            is_clear = named and not UNSEEN.search(text) and len(text) < LONGEST and "Traceback" not in text
            return (MESSAGE if is_clear else WRONG_MESSAGE), f"{type(error).__name__}: {ascii(text[:300])}"
        except BaseException:
            return TRACEBACK, traceback.format_exc()[-600:]
        if result == self.results[name]:
            return NO_EFFECT, "the same"
        return (NOT_DETECTABLE if self.reader.is_valid(name, content) else SILENT), "read as something else"


def shown(base: Path, reader: str, seed: int, number: int) -> str:
    """What one mutant is and what came of it, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        return "\n".join(reading(Path(folder), base, reader, seed, READERS)(number))
