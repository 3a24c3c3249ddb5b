"""Training on pairs of answers, for its script and the verbs around it. No paddle here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llm.alignment.dpo.dpo_argument import CLASSES
from llm.alignment.dpo.dpo_checks import Reference, note_problems, reference_of
from llm.alignment.dpo.dpo_data import rows_of
from llm.alignment.dpo.dpo_run import DpoRun, resolve_run
from llm.alignment.dpo.reference.rows import with_reference
from llm.core.run import answer_format
from llm.core.run.answer_format import AnswerFormat
from llm.core.run.packed_rows import PackedRows
from llm.core.run.task import Task
from llm.core.text.reading import Reading, comparison_reading, judged_reading

if TYPE_CHECKING:
    from llm.core.run.work import Learner


def read_format(run: DpoRun) -> AnswerFormat:
    """With what makes rewards of log-ratios, if that is what they become."""
    found = answer_format.read_format(run)
    return replace(found, implicit_beta=run.training.beta) if run.of_labels else found


def rows_of_run(run: DpoRun, text_format: AnswerFormat, paths: list[str], bar: bool) -> PackedRows:
    return rows_of(paths, run.data, text_format, run.of_labels, bar)


def for_training(run: DpoRun, rows: PackedRows) -> PackedRows:
    return with_reference(rows, run.reference_file) if run.reference_file else rows


def learner_of(run: DpoRun, text_format: AnswerFormat) -> Learner:
    from llm.alignment.dpo import dpo_learner

    return dpo_learner.learner_of(run, text_format)


def reading(run: DpoRun, text_format: AnswerFormat | None) -> Reading:
    make_encoder = text_format.encoder_of(run.data) if text_format else None
    return judged_reading(make_encoder) if run.of_labels else comparison_reading(make_encoder)


TASK = Task(
    title="training on pairs of answers",
    script="run_dpo.py",
    schema="dpo.schema.json",
    classes=CLASSES,
    run=DpoRun,
    note_problems=note_problems,
    resolve_run=resolve_run,
    read_format=read_format,
    rows_of=rows_of_run,
    learner_of=learner_of,
    reading=reading,
    of_records=(),
    of_text=("max_seq_len", "max_prompt_len", "use_chat_template"),
    for_training=for_training,
    asks_reference=lambda settings: reference_of(settings) in (Reference.MODEL, Reference.ADAPTERS),
    holds_reference=lambda settings: reference_of(settings) is Reference.MODEL,
)
