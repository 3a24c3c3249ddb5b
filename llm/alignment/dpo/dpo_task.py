"""Training on pairs of answers for the verbs around it. No paddle here."""

from __future__ import annotations

from llm.alignment.dpo.dpo_argument import CLASSES
from llm.alignment.dpo.dpo_checks import Reference, note_problems, reference_of
from llm.alignment.dpo.dpo_data import rows_of
from llm.alignment.dpo.dpo_run import DpoRun, resolve_run
from llm.core.model.head.head_kinds import LM
from llm.core.run.answer_format import AnswerFormat, read_format
from llm.core.run.packed_rows import PackedRows
from llm.core.run.task import Task
from llm.core.text.reading import Reading, comparison_reading, judged_reading


def rows_of_run(run: DpoRun, answer_format: AnswerFormat, paths: list[str], bar: bool) -> PackedRows:
    return rows_of(paths, run.data, answer_format, run.of_labels, bar)


def reading(run: DpoRun, answer_format: AnswerFormat | None) -> Reading:
    make_encoder = answer_format.encoder_of(run.data) if answer_format else None
    return judged_reading(make_encoder) if run.of_labels else comparison_reading(make_encoder)


TASK = Task(
    title="training on pairs of answers",
    script="run_dpo.py",
    schema="dpo.schema.json",
    classes=CLASSES,
    run=DpoRun,
    note_problems=note_problems,
    head_of=lambda settings: LM,
    resolve_run=resolve_run,
    read_format=read_format,
    rows_of=rows_of_run,
    reading=reading,
    of_records=(),
    of_text=("max_seq_len", "max_prompt_len", "use_chat_template"),
    learns_text=True,
    holds_reference=lambda settings: reference_of(settings) is Reference.MODEL,
)
