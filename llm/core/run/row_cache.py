"""Packed rows on disk, under `cache_dir`: built once for a data set, a tokenizer and the settings that matter, and then
memory-mapped by every run and rank that asks for the same. No paddle here.

A folder of the cache has the key of what it was built from as its name. It is built under another name by the one
process that holds the lock, and renamed when it is whole; others wait for it. What was built from something else is not
looked at.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import xxhash

from llm.core.collector import collector_paused
from llm.core.files import checksum, read_json, write_json
from llm.core.parallel.ranks import say
from llm.core.paths import find_files
from llm.core.records.records import ReadCounts
from llm.core.rows.row_store import StoredRows, write_rows
from llm.core.run.arguments import DataArgument
from llm.core.run.packed_rows import PackedRows, fingerprint_of_rows
from llm.core.run.seen import RowCounts, Seen
from llm.core.text.encoding import EncodeCounts
from llm.core.text.tokenizer import Tokenizer

VERSION = 1  # of what a row of the same text is; another one builds every cache again
ROWS, ABOUT = "rows.arrow", "about.json"
OF_ROWS = "max_seq_len zero_padding greedy_zero_padding prefix_sharing prefix_sharing_window skip_bad_records".split()


def made_from(files: list[Path], data: DataArgument, tokenizer: Tokenizer, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the rows depend on; `origin` is what the task adds."""
    return {
        "version": VERSION,
        "files": [[str(file), checksum(file)] for file in files],
        "tokenizer": {name: xxhash.xxh3_128(text).hexdigest() for name, text in tokenizer.content().items()},
        **origin,
        **{name: getattr(data, name) for name in OF_ROWS},
    }


@collector_paused()
def rows_of(
    paths: list[str],
    data: DataArgument,
    tokenizer: Tokenizer,
    origin: Mapping[str, Any],
    build: Callable[[], PackedRows],
) -> PackedRows:
    """From the cache, if the settings name one."""
    if not data.cache_dir:
        return build()
    source = made_from(find_files(paths), data, tokenizer, origin)
    return cached_rows(Path(data.cache_dir).expanduser(), source, build)


def cached_rows(cache_dir: Path, source: dict[str, Any], build: Callable[[], PackedRows]) -> PackedRows:
    """The rows that were made from this source, built now if they are not there or damaged."""
    folder = cache_dir / _checksum_of(source)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if not (found := _load(folder)):
            _build(folder, source, build())
            found = _load(folder)
        else:
            say(f"  rows of an earlier run: {folder}")
    assert found
    return found


def _checksum_of(value: dict[str, Any]) -> str:
    return xxhash.xxh3_128(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Until the end of the block or of the process, however it ends."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(folder: Path, source: dict[str, Any], rows: PackedRows) -> None:
    unfinished = folder.with_suffix(".part")  # of a process that was killed, or of this one
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.mkdir()
    write_rows(unfinished / ROWS, rows.rows)
    counts = {"read": asdict(rows.read), "encoded": asdict(rows.encoded), "counted": asdict(rows.counted)}
    about = {"rows": checksum(unfinished / ROWS), **counts, "made_from": source}
    write_json(unfinished / ABOUT, {"checksum": _checksum_of(about), **about})
    unfinished.rename(folder)


def _load(folder: Path) -> PackedRows | None:
    """None where there are no rows, or damaged ones."""
    if not folder.is_dir():
        return None
    try:
        about = read_json(folder / ABOUT)
        if about.pop("checksum") != _checksum_of(about) or about["rows"] != checksum(folder / ROWS):
            raise ValueError("its checksum is another one")
        read, encoded = ReadCounts(**about["read"]), EncodeCounts(**about["encoded"])
        read.dropped, encoded.dropped = Counter(read.dropped), Counter(encoded.dropped)
        counted = RowCounts(**about["counted"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        say(f"  {folder} is damaged ({error}) and is built again")
        return None
    seen = Seen(read, encoded, counted, is_whole=True)
    return PackedRows(StoredRows(folder / ROWS), seen, fingerprint_of_rows(counted))
