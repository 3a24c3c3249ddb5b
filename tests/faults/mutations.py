"""Thousands of changed files for a reader: it reads each as what it is, or refuses it in a plain message, in bounded
time. Another process reads, so that one that does not end, or ends the process, is an outcome like others."""

from __future__ import annotations

import importlib
import os
import resource
import socket
import sys
import tempfile
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import NoReturn

from llm.core.console import UNSEEN
from tests.faults.outcomes import (
    HANG,
    MESSAGE,
    NO_EFFECT,
    NOT_DETECTABLE,
    SILENT,
    TRACEBACK,
    WRONG_MESSAGE,
    Row,
)
from tests.runs import FORKS

READERS = "tests.faults.readers"  # which imports paddle: in the other process
SECONDS, READY_WITHIN = 20, 240  # for one file, for the start; the machine may be busy with something else
MEMORY = 16 << 30  # of addresses
LONGEST = 20_000  # characters of a message


def sweep(base: Path, reader: str, seed: int, numbers: range, module: str = READERS, seconds: float = SECONDS) -> Row:
    """`numbers` of mutants: with the seed and the reader's name they say what each is."""
    row, number = Row(reader), numbers.start
    while number < numbers.stop:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = FORKS.Pipe(duplex=False)
            left = range(number, numbers.stop)
            arguments = (theirs, base, Path(folder), reader, seed, left, module)
            process = FORKS.Process(target=read_all, args=arguments)
            process.start()
            theirs.close()
            outcome, what = _next(ours, READY_WITHIN)
            assert outcome == NO_EFFECT, what or (Path(folder) / "output").read_text()
            while number < numbers.stop:
                outcome, what = _next(ours, seconds)
                row.add(outcome, f"--only {reader!r} --seed {seed} --number {number}: {what}")
                number += 1
                if not what:
                    break
            process.kill()
            process.join()
            ours.close()
    return row


def _next(ours: Connection, seconds: float) -> tuple[str, str]:
    """The outcome of the next mutant, and what is to be seen of it; nothing where the process was lost with it."""
    try:
        return ours.recv() if ours.poll(seconds) else (HANG, "")
    except EOFError:
        return TRACEBACK, ""


def read_all(theirs: Connection, base: Path, folder: Path, reader: str, seed: int, numbers: range, module: str) -> None:
    """Sends what came of each, and before that what came of the files as they are."""
    with open(folder / "output", "w") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    socket.socket.connect = socket.getaddrinfo = _no_network
    read = _Reading(base, folder / "files", importlib.import_module(module).READERS[reader])
    theirs.send((NO_EFFECT, "ready"))
    for number in numbers:
        theirs.send(read.outcome_of(Random(f"{seed} {reader} {number}")))


def _no_network(*_, **__) -> NoReturn:
    """A name that is not a folder's is one that a hub may know."""
    raise OSError("there is no network here")


class _Reading:
    def __init__(self, base: Path, folder: Path, reader):
        self.base, self.folder, self.reader = base, folder, reader
        folder.mkdir()
        reader.prepare(base, folder)
        self.contents = {name: (folder / name).read_bytes() for name in reader.mutants}
        self.results = {name: reader.read(base, folder, name) for name in reader.mutants}

    def outcome_of(self, random: Random) -> tuple[str, str]:
        """Of one changed file, which is then as it was."""
        name = random.choice(list(self.contents))
        content = self.reader.mutants[name](random, self.contents[name])
        (self.folder / name).write_bytes(content)
        try:
            outcome, what = self._read(name, content)
        finally:
            (self.folder / name).write_bytes(self.contents[name])
        return outcome, f"{name} {ascii(content[:60])}: {what}"

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
    readers = importlib.import_module(READERS).READERS
    with tempfile.TemporaryDirectory() as folder:
        return "\n".join(
            _Reading(base, Path(folder) / "files", readers[reader]).outcome_of(Random(f"{seed} {reader} {number}"))
        )
