"""python -m llm inspect DATA --row N: a row of training data as the model gets it, as text.

    python -m llm inspect CONFIG.json --row N [--tokens] [--key value ...]
    python -m llm inspect DATA --row N --model_name_or_path FOLDER [--tokens] [--key value ...]

DATA is what train_dataset_path may be. A configuration of run_reward.py, or the settings.json in a run's output_dir, is
taken with its data, tokenizer and packing, so that the rows are those of the training, before it shuffles them. Every
setting of run_reward.py may be written as a flag and overrides the file (run_reward.py --help lists them). Only a
model's tokenizer and config.json are read. With --tokenizer_name_or_path alone, no model's limits apply.

--row N     which row, from 0 (the default)
--tokens    one line per token, too

Exit code 1 if the row breaks a rule of packed rows, 2 if there is nothing to show.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from llm.alignment.rm.flashmask import reward_argument, reward_run
from llm.alignment.rm.flashmask.data import form_of_data, rows_of
from llm.alignment.rm.flashmask.reward_argument import ModelArgument
from llm.alignment.rm.flashmask.reward_format import RewardFormat
from llm.alignment.rm.flashmask.reward_run import RewardRun
from llm.alignment.rm.flashmask.run_reward import read_format
from llm.core.console import count_of, plain_errors, show
from llm.core.model.config import read_sizes
from llm.core.paths import resolve_path
from llm.core.rows.row import Row
from llm.core.run.arguments import MISPRINTS, is_unobeyed, setting
from llm.core.run.packed_rows import PackedRows
from llm.core.run.row_stream import RowStream
from llm.core.run.run import fit, machine_for
from llm.core.settings.parse import parse
from llm.core.text.pieces import bytes_of_ids
from llm.inspection.row_rules import broken_rules
from llm.inspection.row_text import head_lines, mask_lines, token_lines, tree_lines

HEAD = 1 << 16
# In a record's text the quotes would be escaped.
CONFIG_KEY = re.compile(r'"(model_name_or_path|train_dataset_path)"\s*:')
DATA_SETTINGS = ("max_seq_len", "max_prompt_len", "prefix_sharing_window")


@dataclass(frozen=True)
class InspectArgument:
    row: int = setting(0, "Which row, from 0.")
    tokens: bool = setting(False, "One line per token, too.")


@dataclass(frozen=True)
class OptionalModel(ModelArgument):
    model_name_or_path: str | None = setting(None, "Model whose tokenizer and config.json are read.")  # type: ignore[assignment]  # may be None


CLASSES = (InspectArgument, reward_argument.TrainingArguments, reward_argument.DataArgument, OptionalModel)


def main(argv: list[str]) -> None:
    if not argv or {"-h", "--help"} & set(argv):
        print(__doc__)
        raise SystemExit(0 if argv else 2)
    with plain_errors(ValueError, OSError):
        asked, run = read_run(argv)
        reward_format = read_format(run)
        rows = read_rows(run, reward_format)
        row = choose(rows, asked.row)
    broken = broken_rules(row, reward_format.tokens.placeholder)
    show("\n".join(screen(asked, run, rows, row, reward_format, broken)))
    if broken:
        raise SystemExit(1)


def read_run(argv: list[str]) -> tuple[InspectArgument, RewardRun]:
    """As run_reward.py resolves its settings, but for a machine that could run any of them: only the data matters."""
    words = argv if argv[0].startswith("-") or is_config(argv[0]) else [f"--train_dataset_path={argv[0]}", *argv[1:]]
    settings = parse(CLASSES, words, __doc__, MISPRINTS, is_unobeyed)
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
    model_path = reward_run.resolve(settings, machine)
    sizes = read_sizes(model_path, settings["reward_head"]) if model_path else None
    fit(settings, sizes)
    asked, training, data, model = settings.build()
    form = form_of_data({"train_dataset_path": data.train_dataset_path}, training.process_reward)
    # sizes None: only what builds a model asks for them
    return asked, RewardRun(settings, training, data, model, model_path, sizes, machine.ranks, form=form)  # type: ignore[arg-type]


def is_config(path: str) -> bool:
    """A configuration, and not data: an object with one of the keys that it needs, valid JSON or not."""
    try:
        with open(resolve_path(path), encoding="utf-8-sig", errors="replace") as file:
            head = file.read(HEAD).lstrip()
    except (OSError, ValueError):
        return False
    return head.startswith("{") and bool(CONFIG_KEY.search(head))


def read_rows(run: RewardRun, reward_format: RewardFormat) -> PackedRows:
    paths, margin = run.data.train_dataset_path, run.training.reward_margin
    assert paths  # read_run refuses a run without them
    return rows_of(paths, run.data, reward_format, run.form, margin, bar=sys.stderr.isatty())


def choose(rows: PackedRows, number: int) -> Row:
    found = list(islice(rows.rows, number, number + 1)) if number >= 0 else []
    if not found:
        count = sum(1 for _ in rows.rows)
        raise ValueError(f"--row {number}: the data makes {count_of(count, 'row')}, counted from 0.")
    return found[0]


def screen(
    asked: InspectArgument, run: RewardRun, rows: PackedRows, row: Row, reward_format: RewardFormat, broken: list[str]
) -> Iterator[str]:
    tokenizer, max_seq_len = reward_format.tokenizer, run.data.max_seq_len
    yield from rows.describe("training data", max_seq_len)
    yield from (f"  {line}" for line in run.settings.changes if line.split(":")[0] in DATA_SETTINGS)
    count = "a stream" if isinstance(rows.rows, RowStream) else f"{len(rows.rows):,}"
    pieces = bytes_of_ids(tokenizer, row.ids.tolist())
    if broken:
        yield "\n".join([f"\nrow {asked.row} of {count} is BROKEN, a bug in this program:", *broken])
        yield from token_lines(row, pieces)
        return
    yield from ("", *head_lines(row, asked.row, count, max_seq_len))
    yield "checked: end_row, positions, placeholders, targets and labels belong together"
    width = shutil.get_terminal_size().columns
    yield from tree_lines(row, pieces, width)
    yield from mask_lines(row.end_row, width)
    if asked.tokens:
        yield from token_lines(row, pieces)
