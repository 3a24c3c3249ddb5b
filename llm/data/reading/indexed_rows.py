"""Token ids as Megatron and MindSpeed-LLM store them: NAME_input_ids_document.idx says where in the file .bin each
sequence lies, and other fields have files of their own with the same names."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from llm.core.paths import shown_path
from llm.core.records.json_stream import Item
from llm.core.records.unreadable import broken_file, cut_short

MAGIC = b"MMIDIDX\0\0"
HEADER = struct.Struct("<9sQBQQ")  # magic, version, type, sequences, documents
TYPES: dict[int, str] = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f8", 7: "<f4", 8: "<u2"}
NAME = re.compile(r"(.*)_(input_ids|labels|attention_mask)_document\.(idx|bin)")
FIELDS = ("input_ids", "labels")
REPORTED = 1000  # rows between two calls of progress


def read_indexed(path: Path, progress: Callable[[int], object]) -> Iterator[Item]:
    """(place, {"input_ids": ..., "labels": ...}, "") of each sequence, from any one of the files."""
    name = shown_path(path)
    if not (found := NAME.fullmatch(path.name)):
        remedy = "keep the names that NAME_input_ids_document.idx and its like have"
        yield name, broken_file(name, "unknown name", "which field it holds is in the name", remedy), ""
        return
    count = 0
    try:
        fields = {field: _sequences(path.with_name(f"{found[1]}_{field}_document.idx")) for field in FIELDS}
        total = min(len(lengths) for _, lengths, _ in fields.values())
        if len({len(lengths) for _, lengths, _ in fields.values()}) > 1:
            raise ValueError("input_ids and labels have different numbers of sequences")
        size = path.stat().st_size
        for count in range(total):
            yield f"{name}, row {count + 1}", {field: _values(fields[field], count) for field in FIELDS}, ""
            if (count + 1) % REPORTED == 0 or count + 1 == total:
                begun = count - count % REPORTED
                progress(size * (count + 1) // total - size * begun // total)
        if not total:
            yield name, broken_file(name, "no row in the file", "it is empty", "remove it from the paths"), ""
    except (OSError, ValueError, struct.error) as error:
        yield name, cut_short(name, count, error), ""


def _sequences(index: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(all tokens of a field, the length of each sequence, where it begins)"""
    content = index.read_bytes()
    magic, version, kind, count, _ = HEADER.unpack_from(content)
    if magic != MAGIC or version != 1 or kind not in TYPES:
        raise ValueError(f"{index.name} is not an index of tokens (version {version}, type {kind})")
    lengths = np.frombuffer(content, "<i4", count, HEADER.size)
    starts = np.frombuffer(content, "<i8", count, HEADER.size + lengths.nbytes)
    data = index.with_suffix(".bin")
    tokens = np.memmap(data, TYPES[kind], "r") if data.stat().st_size else np.empty(0, TYPES[kind])
    starts = starts // tokens.itemsize
    if count and (lengths.min() < 0 or starts.min() < 0 or (starts + lengths).max() > len(tokens)):
        raise ValueError(f"{data.name} is shorter than {index.name} says")
    return tokens, lengths, starts


def _values(sequences: tuple[np.ndarray, np.ndarray, np.ndarray], number: int) -> list[int]:
    tokens, lengths, starts = sequences
    return tokens[starts[number] : starts[number] + lengths[number]].tolist()
