"""A check without a configuration: the settings that decide what a record is and, with a tokenizer, how text becomes
tokens."""

from __future__ import annotations

import contextlib
import io
from dataclasses import fields

from llm.check.outcome import CheckArgument
from llm.core.paths import find_files
from llm.core.run import checks
from llm.core.run.arguments import MISPRINTS, is_unobeyed
from llm.core.run.task import Task
from llm.core.settings.parse import parse
from llm.core.text.reading import Reading
from llm.data.check.data_check import form_of

TOKENIZER = "tokenizer_name_or_path"
OBEYED = {field.name for field in fields(CheckArgument)} | {"train_dataset_path", TOKENIZER}


def read_text_settings(task: Task, words: list[str]) -> tuple[CheckArgument, list[str], Reading, list[str]]:
    """What is asked for, the data, how it is read, and the defaults that changed. ValueError where a setting has no
    effect here, or the tokenizer has no such tokens."""
    settings = parse((CheckArgument, *task.classes_without_model), words, "", MISPRINTS, is_unobeyed)
    has_tokenizer = bool(settings[TOKENIZER])
    obeyed = OBEYED.union(task.of_text if has_tokenizer else task.of_records)
    for name in settings.values:
        if name not in obeyed:
            missing = "--config" if has_tokenizer else "--config or --tokenizer"
            settings.refuse(name, f"has no effect on a check without {missing}; leave it out")
    if has_tokenizer:
        checks.fit_lengths(settings)
    asked, data = settings.build()[0], settings["train_dataset_path"] or []
    if not data:
        raise ValueError("no data is named; write python -m llm check DATA, or --config CONFIG.json.")
    run = task.make_run(settings, "", None, 1, form_of(find_files(data)))
    with contextlib.redirect_stdout(io.StringIO()):
        text_format = task.read_format(run) if has_tokenizer else None
    return asked, data, task.reading(run, text_format), settings.changes
