"""Records of answers -> packed rows, from the cache if the settings name one. No paddle here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.core.paths import find_files
from llm.core.records.records import ReadCounts
from llm.core.run import packed_rows, row_cache
from llm.core.run.answer_format import AnswerFormat
from llm.core.run.arguments import DataArgument
from llm.core.run.packed_rows import PackedRows
from llm.core.text.parallel_encoding import Encode

# (files, counts, skip_bad, progress): what is encoded of the records of these files
Read = Callable[[list[Path], ReadCounts, bool, Callable[[int], object]], Iterator[Any]]
OF_TEXT = ("max_prompt_len", "use_chat_template")


@dataclass(frozen=True)
class Source:
    files: list[Path]
    skip_bad: bool
    records: Read

    def read(self, counts: ReadCounts, progress: Callable[[int], object]) -> Iterator[Any]:
        return self.records(self.files, counts, self.skip_bad, progress)


def rows_of(
    paths: list[str],
    data: DataArgument,
    answer_format: AnswerFormat,
    read: Read,
    encode: Encode,
    origin: dict[str, Any],
    bar: bool = False,
) -> PackedRows:
    """`origin` is what the rows depend on besides the settings of every task."""

    def build() -> PackedRows:
        source = Source(find_files(paths), data.skip_bad_records, read)
        return packed_rows.load_rows(source, answer_format.encoder_of(data)(), encode, data, bar)

    origin = {**origin, **{name: getattr(data, name) for name in OF_TEXT}}
    return row_cache.rows_of(paths, data, answer_format.tokenizer, origin, build)
