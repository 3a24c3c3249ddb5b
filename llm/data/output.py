"""Files of JSON Lines that the data verbs write: whole or not at all, never over an input, never by accident.

    check_outputs([args.output], inputs, args.overwrite)
    with new_file(args.output) as file:
        for record in records:
            file.write(record)

The lines go to a temporary name in the same folder, which takes the file's own name when the block ends without an
error. A name that ends in .gz is compressed, and the same records give the same bytes.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

OTHER_KINDS = (".zst", ".parquet", ".arrow", ".csv", ".tsv", ".zip", ".bz2", ".xz")  # that are not written
LINES_AT_ONCE = 512  # a call for each line would take longer than making it, above all for gzip
TOO_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your disk quota is used up",
    errno.EFBIG: "files of this size are not allowed here",
}


class LineFile:
    """JSON values -> lines of a file, which has a temporary name until it is placed; `count` is how many were
    written."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self.path = path.resolve()  # through a link, the file that it leads to
        self._part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        self._lines: list[str] = []
        self._text_of = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._raw = open(self._part, "wb")
        # No name and no time in the gzip header: the same records are the same bytes.
        packed = gzip.GzipFile("", "wb", 6, self._raw, mtime=0) if self.path.suffix == ".gz" else self._raw
        self._stream = cast(BinaryIO, packed)

    def write(self, value: object) -> None:
        """ValueError for NaN and infinite numbers, which JSON does not have."""
        self.write_text(self._text_of(value))

    def write_text(self, text: str) -> None:
        """A value that is JSON already, on one line."""
        self._lines.append(text)
        self.count += 1
        if len(self._lines) == LINES_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._lines:
            self._lines.append("")
            with self._told():
                # halves of characters, which UTF-8 does not have, only occur in rows that are rejected
                self._stream.write("\n".join(self._lines).encode(errors="backslashreplace"))
            self._lines = []

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Inside, a disk that has no room is a ValueError."""
        try:
            yield
        except OSError as error:
            if error.errno not in TOO_FULL:
                raise
            why = f"{TOO_FULL[error.errno]} ({error.strerror})"
            text = f"{self.path} is not written: {why}; free some space, or write to another place."
            raise ValueError(text) from error

    def finish(self) -> None:
        """All that was written is on the disk."""
        self._flush()
        with self._told():
            if self._stream is not self._raw:
                self._stream.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())

    def place(self) -> None:
        self._part.replace(self.path)

    def discard(self) -> None:
        """Nothing is left under the temporary name."""
        for file in (self._stream, self._raw):  # the packing one first, or it would write to a closed file later
            with contextlib.suppress(OSError):  # what is still to be flushed may have no room
                file.close()
        self._part.unlink(missing_ok=True)


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path], overwrite: bool) -> None:
    """ValueError with all that is wrong with the files to be written."""
    problems = [problem for path in outputs if (problem := _problem_of(path, inputs, overwrite))]
    places = [path.resolve() for path in outputs]
    twice = {path for path in places if places.count(path) > 1}
    problems += [f"{path} is to be written twice; give two names." for path in sorted(twice)]
    if problems:
        raise ValueError("\n".join(problems))


def _problem_of(path: Path, inputs: Sequence[Path], overwrite: bool) -> str:
    if path.is_dir():
        return f"{path} is a folder; name the file to write."
    if path.suffix.lower() in OTHER_KINDS:
        return f"{path} would hold JSON Lines under the name of another kind of file; give a .jsonl or .jsonl.gz."
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        return f"{path} cannot be written: {above} is a file, not a folder; give another name."
    if not path.exists():
        return ""
    if not path.is_file():
        return f"{path} is not a plain file; give another name."
    if any(path.samefile(source) for source in inputs):
        return f"{path} is one of the files to read; give another name."
    return "" if overwrite else f"{path} exists already; give another name, or replace it with --overwrite."


@contextlib.contextmanager
def new_files(paths: Sequence[Path]) -> Iterator[list[LineFile]]:
    """Files that appear under their names at the end of the block, and none of them if that ends with an error or one
    cannot be written."""
    files: list[LineFile] = []
    try:
        for path in paths:
            files.append(LineFile(path))
        yield files
        for file in files:
            file.finish()
        for file in files:
            file.place()
    finally:
        for file in files:
            file.discard()


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[LineFile]:
    """One such file."""
    with new_files([path]) as (file,):
        yield file
