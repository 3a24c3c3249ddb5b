"""Fine-tuning for the verbs around its training. No paddle here."""

from __future__ import annotations

from llm.core.model.head.head_kinds import LM
from llm.core.run.answer_format import AnswerFormat, read_format
from llm.core.run.task import Task
from llm.core.text.reading import Reading, dialogue_reading
from llm.finetune.run_finetune import rows_of_run
from llm.finetune.sft_argument import CLASSES
from llm.finetune.sft_run import SftRun, note_problems, resolve_run


def reading(run: SftRun, answer_format: AnswerFormat | None) -> Reading:
    return dialogue_reading(run.data.learn_last_answer, answer_format.encoder_of(run.data) if answer_format else None)


TASK = Task(
    title="fine-tuning",
    script="run_finetune.py",
    schema="sft.schema.json",
    classes=CLASSES,
    run=SftRun,
    note_problems=note_problems,
    head_of=lambda settings: LM,
    resolve_run=resolve_run,
    read_format=read_format,
    rows_of=rows_of_run,
    reading=reading,
    of_records=("learn_last_answer",),
    of_text=("max_seq_len", "max_prompt_len", "use_chat_template", "learn_last_answer"),
    learns_text=True,
)
