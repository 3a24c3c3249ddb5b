"""Fine-tuning, for its script and the verbs around its training. No paddle here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm.core.run.answer_format import AnswerFormat, read_format
from llm.core.run.packed_rows import PackedRows
from llm.core.run.task import Task
from llm.core.text.reading import Reading, dialogue_reading
from llm.finetune.sft_argument import CLASSES
from llm.finetune.sft_data import rows_of
from llm.finetune.sft_run import SftRun, note_problems, resolve_run

if TYPE_CHECKING:
    from llm.core.run.work import Learner


def rows_of_run(run: SftRun, answer_format: AnswerFormat, paths: list[str], bar: bool) -> PackedRows:
    return rows_of(paths, run.data, answer_format, bar)


def learner_of(run: SftRun, answer_format: AnswerFormat) -> Learner:
    from llm.finetune import sft_learner

    return sft_learner.learner_of(run, answer_format)


def reading(run: SftRun, answer_format: AnswerFormat | None) -> Reading:
    return dialogue_reading(run.data.learn_last_answer, answer_format.encoder_of(run.data) if answer_format else None)


TASK = Task(
    title="fine-tuning",
    script="run_finetune.py",
    schema="sft.schema.json",
    classes=CLASSES,
    run=SftRun,
    note_problems=note_problems,
    resolve_run=resolve_run,
    read_format=read_format,
    rows_of=rows_of_run,
    learner_of=learner_of,
    reading=reading,
    of_records=("learn_last_answer",),
    of_text=("max_seq_len", "max_prompt_len", "use_chat_template", "learn_last_answer"),
)
