"""A reward run's settings: resolved against the machine, the model and the data, then frozen. No paddle here."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import ClassVar

from llm.alignment.rm.flashmask import reward_checks
from llm.alignment.rm.flashmask.data import form_of_data
from llm.alignment.rm.flashmask.reward_argument import (
    CLASSES,
    IDENTITY,
    DataArgument,
    ModelArgument,
    TrainingArguments,
)
from llm.alignment.rm.flashmask.reward_format import FormatValues
from llm.core.parallel import layout
from llm.core.records.reward_records import LABELLED
from llm.core.rows.label_weights import balancing_weight
from llm.core.run.packed_rows import PackedRows
from llm.core.run.resolve import resolve_settings
from llm.core.run.run import Machine, Run, data_sets, look_up_paths
from llm.core.settings.settings import Settings


@dataclass(frozen=True)
class RewardRun(Run):
    training: TrainingArguments
    data: DataArgument
    model: ModelArgument
    form: str = LABELLED
    identity_settings: ClassVar[tuple[str, ...]] = IDENTITY

    @property
    def format_values(self) -> FormatValues:
        return FormatValues(
            placeholder_token=self.model.placeholder_token,
            reward_tokens=self.model.reward_tokens,
            max_seq_len=self.data.max_seq_len,
            max_prompt_len=self.data.max_prompt_len,
            use_chat_template=self.data.use_chat_template,
            process_reward=self.training.process_reward,
            score_last_step_only=self.data.score_last_step_only,
        )

    def positive_weight(self, train: PackedRows) -> float:
        if not self.training.balance_labels:
            return self.training.positive_weight
        counted = train.counted
        return balancing_weight(counted.positive_weight, counted.label_weight, self.training.label_smoothing)


def resolve_run(argv: list[str], description: str) -> RewardRun:
    """The settings of a training; ValueError with everything that is wrong with them."""
    found = resolve_settings(CLASSES, argv, description, reward_checks.note_problems, itemgetter("reward_head"))
    settings = found.settings
    form = form_of_data(data_sets(found.training, found.data), found.training.process_reward)
    reward_checks.fit_to_form(settings, form)
    training, data, model = settings.build()
    return RewardRun(settings, training, data, model, found.model_path, found.sizes, found.ranks, form=form)


def resolve(settings: Settings, machine: Machine) -> str:
    """Defaults are changed where they cannot hold; returns the model's folder or name. All problems are raised at
    once, those of paths included."""
    model_path = look_up_paths(settings)
    reward_checks.resolve(settings, *machine)
    return model_path


def fit_to_tokenizer(run: RewardRun, tokens: int) -> None:
    """ValueError where the vocabulary has to grow to so many tokens and cannot."""
    task = layout.task_of(run.values, grows_vocabulary=tokens > run.sizes.vocab_size)
    for name, why in layout.problems_of_run(layout.layout_of(run.values, run.ranks), task):
        run.settings.refuse(name, why)
    run.settings.check()
