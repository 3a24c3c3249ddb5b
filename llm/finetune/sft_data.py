"""Dialogues -> packed rows. No paddle here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llm.core.paths import find_files
from llm.core.records.dialogues import Dialogue, iter_dialogues
from llm.core.records.records import ReadCounts
from llm.core.run import packed_rows, row_cache
from llm.core.run.packed_rows import PackedRows
from llm.core.text.answers import AnswerEncoder
from llm.core.text.tokenizer import Tokenizer
from llm.finetune.sft_argument import DataArgument

OF_TEXT = ("max_prompt_len", "use_chat_template", "learn_last_answer")


@dataclass(frozen=True)
class Answers:
    """The dialogues of some files, each up to every answer that is learnt."""

    files: list[Path]
    skip_bad: bool
    last_only: bool

    def read(self, counts: ReadCounts, progress: Callable[[int], object]) -> Iterator[Dialogue]:
        for dialogue in iter_dialogues(self.files, counts, self.skip_bad, progress):
            yield from dialogue.up_to_answers(self.last_only)


def rows_of(paths: list[str], data: DataArgument, tokenizer: Tokenizer, bar: bool = False) -> PackedRows:
    """From the cache, if the settings name one."""

    def build() -> PackedRows:
        source = Answers(find_files(paths), data.skip_bad_records, data.learn_last_answer)
        encoder = AnswerEncoder(tokenizer, data.max_seq_len, data.max_prompt_len, data.use_chat_template)
        return packed_rows.load_rows(source, encoder, AnswerEncoder.encode, data, bar)

    origin = {"form": "dialogue", **{name: getattr(data, name) for name in OF_TEXT}}
    return row_cache.rows_of(paths, data, tokenizer, origin, build)
