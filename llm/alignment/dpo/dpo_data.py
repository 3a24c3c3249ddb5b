"""Comparisons of answers, or answers with labels -> packed rows. No paddle here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from llm.alignment.dpo.dpo_argument import DataArgument
from llm.core.records.comparisons import AnswerPair, iter_comparisons
from llm.core.records.judged_answers import iter_judged
from llm.core.records.records import ReadCounts
from llm.core.run import answer_rows
from llm.core.run.answer_format import AnswerFormat
from llm.core.run.answer_rows import Read
from llm.core.run.packed_rows import PackedRows
from llm.core.text.answers import AnswerEncoder


def pairs_of(
    files: list[Path], counts: ReadCounts, skip_bad: bool, progress: Callable[[int], object]
) -> Iterator[AnswerPair]:
    """Of every group of answers each better one with each worse one."""
    for comparison in iter_comparisons(files, counts, skip_bad, progress):
        yield from comparison.pairs()


def rows_of(
    paths: list[str], data: DataArgument, answer_format: AnswerFormat, of_labels: bool, bar: bool = False
) -> PackedRows:
    """Of pairs of answers, or `of_labels` of answers with a label each."""
    read: Read = iter_judged if of_labels else pairs_of
    encode = AnswerEncoder.encode_judged if of_labels else AnswerEncoder.encode_pair
    origin = {"form": "judged answer" if of_labels else "comparison"}
    return answer_rows.rows_of(paths, data, answer_format, read, encode, origin, bar)
