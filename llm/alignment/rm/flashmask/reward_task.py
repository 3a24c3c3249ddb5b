"""Reward models for the verbs around their training. No paddle here."""

from __future__ import annotations

from dataclasses import fields
from operator import itemgetter

from llm.alignment.rm.flashmask import reward_checks
from llm.alignment.rm.flashmask.data import form_of_data
from llm.alignment.rm.flashmask.reward_argument import CLASSES
from llm.alignment.rm.flashmask.reward_format import FormatValues, RewardFormat, split_reward_tokens
from llm.alignment.rm.flashmask.reward_run import RewardRun, resolve_run
from llm.alignment.rm.flashmask.run_reward import read_format, rows_of_run, training_rows
from llm.core.records.records import Record
from llm.core.run.task import Task
from llm.core.settings.settings import Settings
from llm.core.text.reading import Reading, reward_reading


def form_of(settings: Settings, sets: dict[str, list[str]]) -> str:
    return form_of_data(sets, settings["process_reward"])


def reading(run: RewardRun, reward_format: RewardFormat | None) -> Reading:
    margin, placeholder = run.training.reward_margin, run.model.placeholder_token
    if reward_format is None:
        return reward_reading(run.form, split_reward_tokens(run.model.reward_tokens), placeholder, margin)
    return reward_reading(
        run.form,
        reward_format.reward_tokens,
        placeholder,
        margin,
        parts=lambda record: (reward_format.scored_part(record) if isinstance(record, Record) else record,),
        make_encoder=reward_format.encoder,
    )


TASK = Task(
    title="reward model",
    script="run_reward.py",
    schema="reward.schema.json",
    classes=CLASSES,
    run=RewardRun,
    note_problems=reward_checks.note_problems,
    head_of=itemgetter("reward_head"),
    resolve_run=resolve_run,
    read_format=read_format,
    rows_of=rows_of_run,
    reading=reading,
    of_records=("reward_tokens", "placeholder_token"),
    of_text=(*(field.name for field in fields(FormatValues)), "add_placeholder_token"),
    learns_text=False,
    form_of=form_of,
    fit_to_form=reward_checks.fit_to_form,
    training_rows=training_rows,
)
