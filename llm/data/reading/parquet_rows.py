"""The rows of a Parquet file, read a part of a row group at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from llm.core.paths import shown_path
from llm.core.records.json_stream import Item
from llm.core.records.unreadable import broken_file, cut_short

MAGIC = b"PAR1"
ROWS_AT_ONCE = 1024


def read_parquet(path: Path, columns: frozenset[str] | None, progress: Callable[[int], object]) -> Iterator[Item]:
    """(place, row, ""); a row has the `columns` that the file has, or all of them if None is given."""
    import pyarrow
    from pyarrow import parquet

    name, number = shown_path(path), 0
    try:
        with parquet.ParquetFile(path) as file:
            wanted = [column for column in file.schema_arrow.names if columns is None or column in columns]
            size, rows = path.stat().st_size, max(1, file.metadata.num_rows)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{name}, row {number}", row, ""
                progress(size * number // rows - size * (number - batch.num_rows) // rows)
        if not number:
            yield name, broken_file(name, "no row in the file", "it is empty", "remove it from the paths"), ""
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        yield name, cut_short(name, number, error), ""
