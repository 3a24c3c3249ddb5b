"""What the script of every task does: settings, tokenizer, data, then training and evaluation. No paddle here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from llm.core.console import plain_errors
from llm.core.cpu import environment
from llm.core.model.config import check_vocabulary
from llm.core.model.folder import find_model
from llm.core.parallel.ranks import say
from llm.core.run.packed_rows import PackedRows, Rows
from llm.core.run.run import Run, fit_to_data, read_data_sets, read_test_sets
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llm.core.run.work import Learner


def rows_as_they_are(run: Run, train: PackedRows) -> Rows:
    return train.rows


class Script(NamedTuple):
    """What the script of a task is made of."""

    resolve_run: Callable[[list[str]], Any]
    read_format: Callable[[Any], Any]  # how text becomes rows
    rows_of: Callable[[Any, Any, list[str], bool], PackedRows]  # (run, format, paths, whether a bar is shown)
    learner_of: Callable[[Any, Any], Learner]  # imports paddle, which takes seconds
    training_rows: Callable[[Any, PackedRows], Rows] = rows_as_they_are  # with what they count in training


def carry_out_task(task: Script, argv: list[str]) -> dict:
    """Runs what the settings say; returns the results. What a user can get wrong is known before paddle is imported."""
    threads = environment.prepare()
    with plain_errors(ValueError, OSError):
        run = task.resolve_run(argv)
        say(run.screen())
        text_format = task.read_format(run)
        rows_of = partial(task.rows_of, run, text_format)
        train, dev = read_data_sets(run, rows_of)
        tests = read_test_sets(run, rows_of)
        run = fit_to_data(run, train)
        rows = task.training_rows(run, train) if train else None
        learner = task.learner_of(run, text_format)
    from llm.core.run.work import carry_out

    return carry_out(run, learner, train, dev, rows, threads, tests)


def read_tokenizer(run: Run) -> Tokenizer:
    """Known to belong to the model."""
    name = run.model.tokenizer_name_or_path
    tokenizer = load_tokenizer(find_model(name, "tokenizer_name_or_path") if name else run.model_path)
    if run.sizes:
        check_vocabulary(run.sizes, tokenizer)
    return tokenizer


def note_on_saving(tokenizer: Tokenizer) -> None:
    if note := tokenizer.note_on_saving():
        say(note)
