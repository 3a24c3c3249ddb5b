"""python -m llm check DATA: what training would refuse, drop or cut, and a first look at the labels.

    python -m llm check DATA... [--against DEV...] [--reward_tokens P,N] [--placeholder_token T]
    python -m llm check DATA... --tokenizer FOLDER [--max_seq_len N] [--max_prompt_len N] [--use_chat_template] ...
    python -m llm check [DATA...] --config CONFIG.json [--gpus N] [--memory GIB] [--key value ...]

DATA and DEV are what train_dataset_path may be. With a tokenizer, records are encoded as in training and their lengths
are checked, too. With a configuration of a training, whose settings may all be written as flags, this is the dry run
of it, without building the model: settings, output_dir, model folder, tokenizer, both data sets, rows, updates and
memory, with all problems at once.

--task TASK     what the data is for: reward, sft or dpo; without it, the configuration or the first record says so

--against DEV   questions that DATA and DEV share, or nearly share
--fix OUT       write the records without findings to OUT (.jsonl or .jsonl.gz), as they are written in DATA
--html PAGE     write what was found, and the distributions, as an HTML page
--json          print one JSON object instead
--overwrite     replace OUT and PAGE if they exist

example: python -m llm check data/train.jsonl --against data/dev.jsonl --fix data/clean.jsonl

Exit code 0: clean, 1: something was found, 2: it could not be checked.
"""

from __future__ import annotations

import json
import sys

from llm.check.outcome import Outcome, as_json, check_paths, screen, write_outputs
from llm.check.section import data_section
from llm.check.text_settings import TOKENIZER, read_text_settings
from llm.core.console import plain_errors, show
from llm.core.settings.parse import split_words
from llm.tasks.table import find_task

DATA = "train_dataset_path"  # what DATA is called among the settings


def main(argv: list[str]) -> None:
    if not argv or {"-h", "--help"} & set(argv):
        print(__doc__)
        raise SystemExit(0 if argv else 2)
    with plain_errors(ValueError, OSError):
        outcome = check(argv)
        lines = [*screen(outcome), *write_outputs(outcome)]
    show(json.dumps(as_json(outcome), ensure_ascii=False) if outcome.asked.json else "\n".join(lines))
    if outcome.findings:
        raise SystemExit(1)


def check(argv: list[str]) -> Outcome:
    config, words = _words_of(argv)
    task, words = find_task(words, config)
    bar = sys.stderr.isatty()
    if config is not None:
        from llm.check.dry_run import dry_run  # takes longer to import than a small file to check

        return dry_run(task, [config, *words], bar)
    asked, data, reading, changes = read_text_settings(task, words)
    paths = check_paths(asked, data)
    section = data_section("data", paths.data, reading, paths.against, bar)
    section.lines += [f"changed default: {line}" for line in changes]
    return Outcome(asked, paths, [section], section.data)


def _words_of(argv: list[str]) -> tuple[str | None, list[str]]:
    """The configuration, and everything else as flags of settings."""
    first, data, flags = split_words(argv)
    data = [*([first] if first is not None else []), *data]
    config, words = None, [f"--{DATA}", *data] if data else []
    for name, values in flags:
        name = TOKENIZER if name == "tokenizer" else name
        if name == "config":
            if len(values) != 1 or config is not None:
                raise ValueError("--config takes the path of one configuration; give it once.")
            config = values[0]
            continue
        words += [f"--{name}={values[0]}"] if len(values) == 1 else [f"--{name}", *values]
    return config, words
