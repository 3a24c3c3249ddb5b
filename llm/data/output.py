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

LINES_AT_ONCE = 512  # a call for each line would take longer than making it, above all for gzip
TOO_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your disk quota is used up",
    errno.EFBIG: "files of this size are not allowed here",
}


class LineFile:
    """JSON values -> lines of a file; `count` is how many were written."""

    def __init__(self, stream: BinaryIO) -> None:
        self.count = 0
        self._stream = stream
        self._lines: list[str] = []
        self._text_of = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

    def write(self, value: object) -> None:
        """ValueError for NaN and infinite numbers, which JSON does not have."""
        self.write_text(self._text_of(value))

    def write_text(self, text: str) -> None:
        """A value that is JSON already, on one line."""
        self._lines.append(text)
        self.count += 1
        if len(self._lines) == LINES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if self._lines:
            self._lines.append("")
            # halves of characters, which UTF-8 does not have, only occur in rows that are rejected
            self._stream.write("\n".join(self._lines).encode(errors="backslashreplace"))
            self._lines = []


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
def new_file(path: Path) -> Iterator[LineFile]:
    """A file that appears under its name at the end of the block, and not at all if that ends with an error."""
    path = path.resolve()  # through a link, the file that it leads to
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as raw:
            # No name and no time in the gzip header: the same records are the same bytes.
            stream = gzip.GzipFile("", "wb", 6, raw, mtime=0) if path.suffix == ".gz" else raw
            file = LineFile(cast(BinaryIO, stream))
            yield file
            file.flush()
            if stream is not raw:
                stream.close()
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno not in TOO_FULL:
            raise
        why = f"{TOO_FULL[error.errno]} ({error.strerror})"
        raise ValueError(f"{path} is not written: {why}; free some space, or write to another place.") from error
    finally:
        with contextlib.suppress(OSError):  # of a folder that could not be made
            part.unlink(missing_ok=True)
