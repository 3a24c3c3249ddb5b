"""Dialogues -> packed rows. No paddle here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from llm.core.records.dialogues import Dialogue, iter_dialogues
from llm.core.records.records import ReadCounts
from llm.core.run import answer_rows
from llm.core.run.answer_format import AnswerFormat
from llm.core.run.packed_rows import PackedRows
from llm.core.text.answers import AnswerEncoder
from llm.finetune.sft_argument import DataArgument


def answers_of(
    files: list[Path], counts: ReadCounts, skip_bad: bool, progress: Callable[[int], object], last_only: bool
) -> Iterator[Dialogue]:
    """The dialogues of some files, each up to every answer that is learnt."""
    for dialogue in iter_dialogues(files, counts, skip_bad, progress):
        yield from dialogue.up_to_answers(last_only)


def rows_of(paths: list[str], data: DataArgument, answer_format: AnswerFormat, bar: bool = False) -> PackedRows:
    read = partial(answers_of, last_only=data.learn_last_answer)
    origin = {"form": "dialogue", "learn_last_answer": data.learn_last_answer}
    return answer_rows.rows_of(paths, data, answer_format, read, AnswerEncoder.encode, origin, bar)
