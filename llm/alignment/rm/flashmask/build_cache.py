"""python -m llm tokenize CONFIG.json --cache_dir FOLDER: tokenise and pack the data of a run ahead of it.

The configuration is that of a training. A run with the same data, tokenizer, limits and packing then maps the rows into
memory instead of reading the data; with anything else it builds rows of its own. Training does the same by itself where
its configuration has cache_dir. Held-out data has rows of its own, so either data set can be changed alone.
"""

from __future__ import annotations

from llm.alignment.rm.flashmask.reward_run import resolve_run
from llm.alignment.rm.flashmask.run_reward import read_data, read_format
from llm.core.console import plain_errors, refuse


def main(argv: list[str]) -> None:
    with plain_errors(ValueError, OSError):
        run = resolve_run(argv, __doc__)
        if not run.data.cache_dir:
            refuse("give --cache_dir FOLDER, or write cache_dir in the configuration")
        read_data(run, read_format(run))
        print(f"rows: {run.data.cache_dir}")
