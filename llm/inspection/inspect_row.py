"""python -m llm inspect DATA --row N: a row of training data as the model gets it, as text.

    python -m llm inspect CONFIG.json --row N [--tokens] [--key value ...]
    python -m llm inspect DATA --row N --model_name_or_path FOLDER [--tokens] [--key value ...]

DATA is what train_dataset_path may be. A configuration of run_reward.py, or the settings.json in a run's output_dir, is
taken with its data, tokenizer and packing, so that the rows are those of the training, before it shuffles them. Every
setting of run_reward.py may be written as a flag and wins over the file (run_reward.py --help lists them). Of a model
only the tokenizer and config.json are read. With --tokenizer_name_or_path alone there is no model to be fitted to.

--row N     which row, from 0 (the default)
--tokens    one line per token, too

Exit code 1 if the row breaks a rule of packed rows, 2 if there is nothing to show.
"""

from __future__ import annotations

from llm.core.cpu import environment

environment.prepare()  # before paddle is imported

import math
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import islice
from typing import Optional

from llm.alignment.rm.flashmask import reward_argument, reward_checks
from llm.alignment.rm.flashmask.data import RewardRows, form_of_data, load_rows
from llm.alignment.rm.flashmask.reward_argument import ModelArgument, documented
from llm.alignment.rm.flashmask.run_reward import read_tokenizer
from llm.core.console import count_of, plain_errors
from llm.core.model import config, folder
from llm.core.paths import find_files, resolve_path
from llm.core.rows.row import Row
from llm.core.settings.parse import parse
from llm.core.settings.settings import Settings
from llm.core.train.progress import quiet_library
from llm.inspection.row_rules import broken_rules
from llm.inspection.row_text import bytes_of, head_lines, mask_lines, token_lines, tree_lines

HEAD = 1 << 16
# In a record's text the quotes would be escaped.
CONFIG_KEY = re.compile(r'"(model_name_or_path|train_dataset_path)"\s*:')
DATA_SETTINGS = ("max_seq_len", "max_prompt_len", "prefix_sharing_window")


@dataclass
class InspectArgument:
    row: int = documented(0, "Which row, from 0.")
    tokens: bool = documented(False, "One line per token, too.")


@dataclass
class OptionalModel(ModelArgument):
    model_name_or_path: Optional[str] = documented(None, "Model whose tokenizer and config.json are read.")  # noqa: UP045


CLASSES = (InspectArgument, reward_argument.TrainingArguments, reward_argument.DataArgument, OptionalModel)
INHERITED = (*reward_argument.TRAINER_SETTINGS, *(field.name for field in fields(ModelArgument)))


def main(argv: list[str]) -> None:
    if not argv or {"-h", "--help"} & set(argv):
        print(__doc__)
        raise SystemExit(0 if argv else 2)
    quiet_library()
    with plain_errors(ValueError, OSError):
        settings = read_settings(argv)
        tokenizer, tokens, rows = read_rows(settings)
        row = choose(rows, settings["row"])
    broken = broken_rules(row, tokens.placeholder)
    show("\n".join(screen(settings, rows, row, tokenizer, broken)))
    if broken:
        raise SystemExit(1)


def read_settings(argv: list[str]) -> Settings:
    """As run_reward.py reads them, but for a machine that could run any of them: only the data matters here."""
    words = argv if argv[0].startswith("-") or is_config(argv[0]) else [f"--train_dataset_path={argv[0]}", *argv[1:]]
    settings = parse(CLASSES, words, __doc__, reward_argument.MISPRINTS, INHERITED)
    degrees = settings["tensor_parallel_degree"], settings["sharding_parallel_degree"]
    reward_checks.resolve(settings, ranks=math.prod(max(degree, 1) for degree in degrees), has_cuda=True)
    if not settings["train_dataset_path"]:
        settings.refuse("train_dataset_path", "names no data to look at; write it as --train_dataset_path DATA")
    else:
        find_files(settings["train_dataset_path"])  # a misspelt name is told before what it might be needs
    if not settings["model_name_or_path"] and not settings["tokenizer_name_or_path"]:
        settings.refuse(
            "tokenizer_name_or_path",
            "rows are a tokenizer's ids; write --model_name_or_path FOLDER (the "
            "model to train) or --tokenizer_name_or_path FOLDER",
        )
    settings.check()
    return settings


def is_config(path: str) -> bool:
    """A configuration, and not data: an object with one of the keys that it needs, valid JSON or not."""
    try:
        with open(resolve_path(path), encoding="utf-8-sig", errors="replace") as file:
            head = file.read(HEAD).lstrip()
    except (OSError, ValueError):
        return False
    return head.startswith("{") and bool(CONFIG_KEY.search(head))


def read_rows(settings: Settings):
    """(tokenizer, reward tokens, rows) of the training data."""
    model_path = settings["model_name_or_path"] and folder.find_model(settings["model_name_or_path"])
    longest = config.longest_solution(config.load_config(model_path)) if model_path else settings["max_seq_len"]
    reward_checks.fit_to_model(settings, longest)
    tokenizer, tokens = read_tokenizer(settings, model_path)
    reward_tokens = reward_argument.split_reward_tokens(settings["reward_tokens"])
    form = form_of_data(settings, ["train_dataset_path"])
    rows = load_rows(settings["train_dataset_path"], settings, tokenizer, tokens, reward_tokens, form)
    return tokenizer, tokens, rows


def choose(rows: RewardRows, number: int) -> Row:
    found = list(islice(rows.rows, number, number + 1)) if number >= 0 else []
    if not found:
        count = sum(1 for _ in rows.rows)
        raise ValueError(f"--row {number}: the data makes {count_of(count, 'row')}, and they are counted from 0.")
    return found[0]


def screen(settings: Settings, rows: RewardRows, row: Row, tokenizer, broken: list[str]) -> Iterator[str]:
    yield from rows.describe("training data", settings["max_seq_len"])
    yield from (f"  {line}" for line in settings.gave_way if line.split(":")[0] in DATA_SETTINGS)
    count = "a stream" if rows.lazy else f"{len(rows.rows):,}"
    byte_of_letter = getattr(tokenizer, "byte_decoder", None)
    pieces = [bytes_of(piece, byte_of_letter) for piece in tokenizer.convert_ids_to_tokens(row.ids.tolist())]
    if broken:
        yield "\n".join([f"\nrow {settings['row']} of {count} is BROKEN, a fault of this program:", *broken])
        yield from token_lines(row, pieces)
        return
    yield from ("", *head_lines(row, settings["row"], count, settings["max_seq_len"]))
    yield "checked: end_row, positions, placeholders, targets and labels belong together"
    width = shutil.get_terminal_size().columns
    yield from tree_lines(row, pieces, width)
    yield from mask_lines(row.end_row, width)
    if settings["tokens"]:
        yield from token_lines(row, pieces)


def show(text: str) -> None:
    """A reader such as head or less may close the pipe before the end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
