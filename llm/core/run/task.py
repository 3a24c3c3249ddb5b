"""What a task is to its script, and to the verbs around its training: check, inspect, estimate, tokenize, batch-size,
schema. No paddle here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from typing import TYPE_CHECKING, Any

from llm.core.model.sizes import Sizes
from llm.core.run.arguments import setting
from llm.core.run.packed_rows import PackedRows, Rows
from llm.core.run.resolve import head_of_text
from llm.core.run.run import Run
from llm.core.settings.settings import Settings, collect
from llm.core.text.reading import Reading

if TYPE_CHECKING:
    from llm.core.run.work import Learner

# (settings, the data sets by the names of their settings) -> the form of the data
FormOf = Callable[[Settings, dict[str, list[str]]], str]


def rows_as_they_are(run: Any, train: PackedRows) -> Rows:
    return train.rows


def rows_for_training(run: Any, rows: PackedRows) -> PackedRows:
    return rows


def no_form(settings: Settings, sets: dict[str, list[str]]) -> str:
    return ""


def fits_every_form(settings: Settings, form: str) -> None:
    settings.check()


@dataclass(frozen=True)
class Task:
    title: str  # for people
    script: str
    schema: str  # file of llm/config
    classes: tuple[type, ...]  # of its settings: training, data, model
    run: type[Run]
    note_problems: Callable[[Settings, int, bool], None]  # (settings, ranks, whether there are GPUs)
    resolve_run: Callable[[list[str], str], Any]  # (argv, description)
    read_format: Callable[[Any], Any]  # how text becomes rows
    rows_of: Callable[[Any, Any, list[str], bool], PackedRows]  # (run, format, paths, whether a bar is shown)
    learner_of: Callable[[Any, Any], Learner]  # (run, format); imports paddle, which takes seconds
    reading: Callable[[Any, Any], Reading]  # (run, format); without a tokenizer the format is None
    of_records: tuple[str, ...]  # settings that decide what a record is
    of_text: tuple[str, ...]  # and how it becomes tokens
    learns_text: bool = True  # tokens over the whole vocabulary, and not rewards
    head_of: Callable[[Settings], str] = head_of_text  # the kind of head that the model gets
    asks_reference: Callable[[Settings], bool] = lambda settings: False  # one more forward pass of every micro-batch
    holds_reference: Callable[[Settings], bool] = lambda settings: False  # by a second model of the same sizes
    form_of: FormOf = no_form
    fit_to_form: Callable[[Settings, str], None] = fits_every_form
    for_training: Callable[[Any, PackedRows], PackedRows] = rows_for_training  # rows of every data set of a training
    training_rows: Callable[[Any, PackedRows], Rows] = rows_as_they_are  # with what they count in training

    @property
    def names(self) -> set[str]:
        return set(collect(self.classes))

    @property
    def classes_without_model(self) -> tuple[type, ...]:
        """The settings where the model need not be given."""
        training, data, model = self.classes
        of_model = ("model_name_or_path", str | None, setting(None, "Model whose tokenizer and config.json are read."))
        return training, data, make_dataclass("OptionalModel", [of_model], bases=(model,), frozen=True)

    def make_run(self, settings: Settings, model_path: str, sizes: Sizes | None, ranks: int, form: str) -> Run:
        """Of settings that may have classes of a verb before those of the task. Without sizes no model can be built."""
        own = copy.copy(settings)
        own.classes = settings.classes[-len(self.classes) :]
        training, data, model = own.build()
        known: Any = sizes  # None only where nobody asks for them
        return self.run(own, training, data, model, model_path, known, ranks, form=form)
