"""Reward models, for their script and the verbs around their training. No paddle here."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from llm.alignment.rm.flashmask import reward_checks
from llm.alignment.rm.flashmask.data import check_labels_are_hard, form_of_data, rows_of
from llm.alignment.rm.flashmask.reward_argument import CLASSES
from llm.alignment.rm.flashmask.reward_format import FormatValues, RewardFormat, make_format, split_reward_tokens
from llm.alignment.rm.flashmask.reward_run import RewardRun, fit_to_tokenizer, resolve_run
from llm.core.parallel import ranks
from llm.core.parallel.ranks import say
from llm.core.records.reward_records import Record
from llm.core.rows.label_weights import weigh_labels, weigh_solutions
from llm.core.run.packed_rows import PackedRows, Rows, weighed
from llm.core.run.start import note_on_saving, read_tokenizer
from llm.core.run.task import Task
from llm.core.settings.settings import Settings
from llm.core.text.reading import Reading, reward_reading
from llm.core.text.reward_tokens import add_placeholder

if TYPE_CHECKING:
    from llm.core.run.work import Learner


def form_of(settings: Settings, sets: dict[str, list[str]]) -> str:
    return form_of_data(sets, settings["process_reward"])


def read_format(run: RewardRun) -> RewardFormat:
    """The tokenizer, and the three tokens of the settings in it."""
    tokenizer = read_tokenizer(run)
    if run.model.add_placeholder_token:
        say(add_placeholder(tokenizer, run.model.placeholder_token))
        if run.sizes:
            fit_to_tokenizer(run, len(tokenizer))
    note_on_saving(tokenizer)
    return make_format(run.format_values, tokenizer)


def rows_of_run(run: RewardRun, reward_format: RewardFormat, paths: list[str], bar: bool) -> PackedRows:
    return rows_of(paths, run.data, reward_format, run.form, run.training.reward_margin, bar)


def training_rows(run: RewardRun, train: PackedRows) -> Rows:
    """The rows with what their labels count in training. What depends on all labels needs a pass over a stream."""
    if run.training.prm_loss == "pqm" or run.training.balance_labels:
        _read_through(run, train)
    if run.training.prm_loss == "pqm":
        check_labels_are_hard(train)
        return weighed(train.rows, weigh_solutions)
    weight = run.positive_weight(train)
    if run.training.balance_labels:
        say(f"balance_labels: the positive part of a label has weight {weight:.4g}, the negative part 1")
    if weight == 1.0 and not run.training.label_smoothing:
        return train.rows
    weigh = partial(weigh_labels, smoothing=run.training.label_smoothing, positive_weight=weight)
    return weighed(train.rows, weigh)


def _read_through(run: RewardRun, train: PackedRows) -> None:
    if not train.seen.is_whole:
        say("prm_loss pqm and balance_labels need all labels, so the training data is read once before training")
        train.read_through(bar=ranks.rank() == 0 and run.shows_bars)
        say("\n".join(train.describe("training data", run.data.max_seq_len)))


def learner_of(run: RewardRun, reward_format: RewardFormat) -> Learner:
    from llm.alignment.rm.flashmask import reward_start

    return reward_start.learner_of(run, reward_format)


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
    learner_of=learner_of,
    reading=reading,
    of_records=("reward_tokens", "placeholder_token"),
    of_text=(*(field.name for field in fields(FormatValues)), "add_placeholder_token"),
    learns_text=False,
    form_of=form_of,
    fit_to_form=reward_checks.fit_to_form,
    training_rows=training_rows,
)
