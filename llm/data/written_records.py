"""Records as they are written: a part of a data set is written again without changing a character of a record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from llm.core.records.json_stream import no_progress, read_written
from llm.core.records.problem import Problem
from llm.data.output import new_files

LINE_BREAK = re.compile(r"[ \t]*[\r\n]+[ \t]*")
NOWHERE = 0  # the destination of a record that is written to no file


def stamps(files: Sequence[Path]) -> list[tuple[int, int]]:
    """Differ if a file was written to."""
    return [((status := path.stat()).st_size, status.st_mtime_ns) for path in files]


def copy_records(
    files: Sequence[Path],
    read_at: list[tuple[int, int]],
    destinations: bytes,
    outputs: Mapping[int, Path],
    progress: Callable[[int], object] = no_progress,
) -> None:
    """A second pass over files: each record goes to the output whose number `destinations` has for
    it. `read_at` are the stamps from before the first pass; ValueError, and no output, if they have changed."""
    with new_files(list(outputs.values())) as opened:
        streams = dict(zip(outputs, opened, strict=True))
        for destination, text in zip(destinations, _texts(files, progress), strict=False):
            if destination != NOWHERE:
                streams[destination].write_text(text)
        changed = [str(path) for path, was, now in zip(files, read_at, stamps(files), strict=True) if was != now]
        if changed:
            raise ValueError(f"{', '.join(changed)} changed while it was read; nothing is written. Run it again.")


def _texts(files: Sequence[Path], progress: Callable[[int], object]) -> Iterator[str]:
    for path in files:
        for _, value, text in read_written(path, progress=progress):
            if not (isinstance(value, Problem) and value.whole_file):  # which is no record
                yield on_one_line(text)


def on_one_line(text: str) -> str:
    """An element of a list may be written over several lines; a string inside it never is."""
    return LINE_BREAK.sub(" ", text) if "\n" in text or "\r" in text else text
