"""What the script of every task does: settings, tokenizer, data, then training and evaluation. No paddle here."""

from __future__ import annotations

from llm.core import library_in_parts
from llm.core.collector import collector_paused
from llm.core.console import plain_errors
from llm.core.cpu import environment
from llm.core.model.config import check_vocabulary
from llm.core.model.folder import find_model
from llm.core.parallel.ranks import say
from llm.core.run.packed_rows import PackedRows
from llm.core.run.run import Run, fit_to_data, read_data_sets, read_test_sets
from llm.core.run.task import Task
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.tokenizer import Tokenizer


def carry_out_task(task: Task, argv: list[str], description: str) -> dict:
    """Runs what the settings say; returns the results. What a user can get wrong is known before paddle is imported."""
    threads = environment.prepare()
    library_in_parts.prepare()
    with collector_paused():
        with plain_errors(ValueError, OSError):
            run = task.resolve_run(argv, description)
            say(run.screen())
            text_format = task.read_format(run)

            def rows_of(paths: list[str], bar: bool) -> PackedRows:
                return task.for_training(run, task.rows_of(run, text_format, paths, bar))

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
