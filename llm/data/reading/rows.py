"""The rows of a data file, one at a time, each with its place: JSON Lines, a JSON list, Parquet, or values separated
by commas or tabs; plain, gzip or zstd. What cannot be read is a `Problem` in the place of its row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from llm.core.paths import SUFFIXES
from llm.core.records.json_stream import Item, no_progress, read_written
from llm.data.reading.indexed_rows import read_indexed
from llm.data.reading.parquet_rows import MAGIC, read_parquet
from llm.data.reading.separated_rows import read_separated

PACKED = (".gz", ".zst")
INDEXED = (".idx", ".bin")
SEPARATED = {".csv": ",", ".tsv": "\t"}
ROW_SUFFIXES = (
    *(*SUFFIXES, ".json.zst", ".jsonl.zst", ".parquet", "_input_ids_document.idx"),
    *(f"{suffix}{packed}" for suffix in SEPARATED for packed in ("", *PACKED)),
)


def read_rows(
    path: Path, columns: frozenset[str] | None = None, progress: Callable[[int], object] = no_progress
) -> Iterator[Item]:
    """(place, row, text) of a file. A place is `file.jsonl:7`, `file.parquet, row 7` or `file.csv:7`; the text is ""
    where the file is not JSON.

    `columns` are those wanted of a Parquet file, which can leave the others unread. `progress` is called with the bytes
    of the file that were read since its last call. Separated values (.csv, .tsv) and token ids (.idx, .bin) are known
    by their names, all else by its content.
    """
    if path.suffix in INDEXED:
        return read_indexed(path, progress)
    if (separator := _separator_of(path)) is not None:
        return read_separated(path, separator, progress)
    try:
        with open(path, "rb") as stream:
            is_parquet = stream.read(len(MAGIC)) == MAGIC
    except OSError:
        is_parquet = False  # read_written says why
    return read_parquet(path, columns, progress) if is_parquet else read_written(path, progress=progress)


def _separator_of(path: Path) -> str | None:
    name = path.with_suffix("") if path.suffix.lower() in PACKED else path
    return SEPARATED.get(name.suffix.lower())
