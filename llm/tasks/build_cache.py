"""python -m llm tokenize CONFIG.json --cache_dir FOLDER: tokenise and pack the data of a run ahead of it.

The configuration is that of a training, of a reward model or of another task (--task). A run with the same data,
tokenizer, limits and packing then maps the rows into memory instead of reading the data; with anything else it builds
rows of its own. Training does the same by itself where its configuration has cache_dir. Held-out data has rows of its
own, so either data set can be changed alone.
"""

from __future__ import annotations

from functools import partial

from llm.core.console import plain_errors, refuse
from llm.core.run.run import read_data_sets
from llm.tasks.table import find_task


def main(argv: list[str]) -> None:
    with plain_errors(ValueError, OSError):
        task, words = find_task(argv)
        run = task.resolve_run(words, __doc__)
        if not run.data.cache_dir:
            refuse("give --cache_dir FOLDER, or write cache_dir in the configuration")
        read_data_sets(run, partial(task.rows_of, run, task.read_format(run)))
        print(f"rows: {run.data.cache_dir}")
