"""python -m llm check DATA: what training would refuse, drop or cut, and a first look at the labels.

    python -m llm check DATA... [--against DEV...] [--reward_tokens P,N] [--placeholder_token T]
    python -m llm check DATA... --tokenizer FOLDER [--max_seq_len N] [--max_prompt_len N] [--use_chat_template] ...
    python -m llm check [DATA...] --config CONFIG.json [--gpus N] [--memory GIB] [--key value ...]

DATA and DEV are what train_dataset_path may be. With a tokenizer, records are encoded as in training and their lengths
are checked, too. With a configuration of run_reward.py, whose settings may all be written as flags, this is the dry run
of a training, without building the model: settings, output_dir, model folder, tokenizer, both data sets, rows, updates
and memory, with all problems at once.

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
from dataclasses import dataclass, field, replace

from llm.check.outcome import CheckArgument, Outcome, as_json, check_paths, screen, write_outputs
from llm.check.section import data_section
from llm.core.console import plain_errors, show
from llm.core.settings.parse import parse, split_words
from llm.data.check.data_check import Asked

DATA = "train_dataset_path"  # what DATA is called among the settings
TOKENIZER = "tokenizer_name_or_path"


@dataclass(frozen=True)
class PlainArgument:
    train_dataset_path: list[str] | None = field(default=None, metadata={"help": "Data to check."})
    reward_tokens: str = field(default="+,-", metadata={"help": "The positive and the negative label."})
    placeholder_token: str = field(default="ки", metadata={"help": "What must not be written inside steps."})


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
    config, words, names = _words_of(argv)
    bar = sys.stderr.isatty()
    if config is not None:
        from llm.check.dry_run import dry_run  # takes longer to import than a small file to check

        return dry_run([config, *words], bar)
    changes: list[str] = []
    if TOKENIZER in names:
        from llm.check.text_settings import read_text_settings

        asked, data, how, changes = read_text_settings(words)
    else:
        asked, plain = parse((CheckArgument, PlainArgument), words, "").build()
        tokens = [token.strip() for token in plain.reward_tokens.split(",")]
        data, how = plain.train_dataset_path, Asked(tokens, plain.placeholder_token)
    if not data:
        raise ValueError("no data is named; write python -m llm check DATA, or --config CONFIG.json.")
    paths = check_paths(asked, data)
    section = data_section("data", paths.data, replace(how, against=paths.against), bar)
    section.lines += [f"changed default: {line}" for line in changes]
    return Outcome(asked, paths, [section], section.data)


def _words_of(argv: list[str]) -> tuple[str | None, list[str], set[str]]:
    """The configuration, everything else as flags of settings, and their names."""
    first, data, flags = split_words(argv)
    data = [*([first] if first is not None else []), *data]
    config, words, names = None, [f"--{DATA}", *data] if data else [], set()
    for name, values in flags:
        name = TOKENIZER if name == "tokenizer" else name
        if name == "config":
            if len(values) != 1 or config is not None:
                raise ValueError("--config takes the path of one configuration; give it once.")
            config = values[0]
            continue
        names.add(name)
        words += [f"--{name}={values[0]}"] if len(values) == 1 else [f"--{name}", *values]
    return config, words, names
