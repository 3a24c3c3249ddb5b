"""python -m llm inspect DATA --row N: a row of training data as the model gets it, as text.

    python -m llm inspect CONFIG.json --row N [--tokens] [--key value ...]
    python -m llm inspect DATA --row N --model_name_or_path FOLDER [--tokens] [--key value ...]

DATA is what train_dataset_path may be. A configuration of a training, or the settings.json in a run's output_dir, is
taken with its data, tokenizer and packing, so that the rows are those of the training, before it shuffles them. Every
setting of the training may be written as a flag and overrides the file (--help of its script lists them). The
configuration, or the first record of DATA, says whether this is a reward model or a fine-tuning, unless --task reward
or --task sft does. Only a model's tokenizer and config.json are read. With --tokenizer_name_or_path alone, no model's
limits apply.

--row N     which row, from 0 (the default)
--tokens    one line per token, too

Exit code 1 if the row breaks a rule of packed rows, 2 if there is nothing to show.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from llm.core.console import count_of, plain_errors, show
from llm.core.model.config import read_sizes
from llm.core.rows.answer_payload import AnswerTokens
from llm.core.rows.row import Row
from llm.core.run.arguments import MISPRINTS, is_unobeyed, setting
from llm.core.run.packed_rows import PackedRows
from llm.core.run.row_stream import RowStream
from llm.core.run.run import Run, fit, look_up_paths, machine_for
from llm.core.run.task import Task
from llm.core.settings.parse import parse
from llm.core.text.pieces import bytes_of_ids
from llm.inspection.row_rules import broken_rules
from llm.inspection.row_text import head_lines, mask_lines, token_lines, tree_lines
from llm.tasks.table import find_task, is_config

DATA_SETTINGS = ("max_seq_len", "max_prompt_len", "prefix_sharing_window")


@dataclass(frozen=True)
class InspectArgument:
    row: int = setting(0, "Which row, from 0.")
    tokens: bool = setting(False, "One line per token, too.")


def main(argv: list[str]) -> None:
    if not argv or {"-h", "--help"} & set(argv):
        print(__doc__)
        raise SystemExit(0 if argv else 2)
    with plain_errors(ValueError, OSError):
        task, words = find_task(argv)
        asked, run = read_run(task, words)
        text_format = task.read_format(run)
        rows = read_rows(task, run, text_format)
        row = choose(rows, asked.row)
    broken = broken_rules(row, None if task.learns_text else text_format.tokens.placeholder)
    show("\n".join(screen(asked, run, rows, row, text_format.tokenizer, broken)))
    if broken:
        raise SystemExit(1)


def read_run(task: Task, argv: list[str]) -> tuple[InspectArgument, Run]:
    """As its script resolves the settings, but for a machine that could run any of them: only the data matters."""
    words = argv if argv[0].startswith("-") or is_config(argv[0]) else [f"--train_dataset_path={argv[0]}", *argv[1:]]
    settings = parse((InspectArgument, *task.classes_without_model), words, __doc__, MISPRINTS, is_unobeyed)
    settings.change_default("do_eval", False, "inspect shows training data")
    if not settings["train_dataset_path"]:
        settings.refuse("train_dataset_path", "names no data to look at; write it as --train_dataset_path DATA")
        settings.misread.add("train_dataset_path")
    if not settings["model_name_or_path"] and not settings["tokenizer_name_or_path"]:
        settings.refuse(
            "tokenizer_name_or_path",
            "rows are a tokenizer's ids; write --model_name_or_path FOLDER (the "
            "model to train) or --tokenizer_name_or_path FOLDER",
        )
    machine = machine_for(settings)
    model_path = look_up_paths(settings)
    task.note_problems(settings, *machine)
    settings.check()
    sizes = read_sizes(model_path, task.head_of(settings)) if model_path else None
    fit(settings, sizes)
    form = task.form_of(settings, {"train_dataset_path": settings["train_dataset_path"]})
    return settings.build()[0], task.make_run(settings, model_path, sizes, machine.ranks, form)


def read_rows(task: Task, run: Run, text_format: Any) -> PackedRows:
    return task.rows_of(run, text_format, run.data.train_dataset_path or [], sys.stderr.isatty())


def choose(rows: PackedRows, number: int) -> Row:
    found = list(islice(rows.rows, number, number + 1)) if number >= 0 else []
    if not found:
        count = sum(1 for _ in rows.rows)
        raise ValueError(f"--row {number}: the data makes {count_of(count, 'row')}, counted from 0.")
    return found[0]


def screen(
    asked: InspectArgument, run: Run, rows: PackedRows, row: Row, tokenizer: Any, broken: list[str]
) -> Iterator[str]:
    max_seq_len = run.data.max_seq_len
    yield from rows.describe("training data", max_seq_len)
    yield from (f"  {line}" for line in run.settings.changes if line.split(":")[0] in DATA_SETTINGS)
    count = "a stream" if isinstance(rows.rows, RowStream) else f"{len(rows.rows):,}"
    pieces = bytes_of_ids(tokenizer, row.ids.tolist())
    if broken:
        yield "\n".join([f"\nrow {asked.row} of {count} is BROKEN, a bug in this program:", *broken])
        yield from token_lines(row, pieces)
        return
    yield from ("", *head_lines(row, asked.row, count, max_seq_len))
    is_text = isinstance(row.payload, AnswerTokens)
    marks = " and the tokens to learn" if is_text else ", placeholders, targets and labels"
    yield f"checked: end_row, positions{marks} belong together"
    width = shutil.get_terminal_size().columns
    yield from tree_lines(row, pieces, width)
    yield from mask_lines(row.end_row, width)
    if asked.tokens:
        yield from token_lines(row, pieces)
