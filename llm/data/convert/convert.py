"""Data sets in other formats -> JSON Lines of this project's records, and back.

    python -m llm convert [FORMAT] INPUT... --output OUT.jsonl[.gz] [--to FORMAT]

An input is a file, a folder or a pattern, as in train_dataset_path: JSON Lines, a JSON list, Parquet, csv or tsv;
plain, gzip or zstd. Rows are read one by one; the output appears under its name when all of it is written.
"""

from __future__ import annotations

import argparse
import sys
from difflib import get_close_matches
from pathlib import Path

from llm.core.console import ArgumentParser, listed, plain_errors
from llm.core.paths import find_files, shown_path
from llm.core.records.reading_bar import reading_bar
from llm.data.convert.counts import refusal, report
from llm.data.convert.form import Format, Options
from llm.data.convert.formats.prm800k import NEUTRAL
from llm.data.convert.registry import FORMATS, WRITABLE
from llm.data.convert.work import Job, convert_files, find_format
from llm.data.output import check_outputs, new_files
from llm.data.reading.rows import ROW_SUFFIXES

EXAMPLE = """example:
  python -m llm convert phase1_test.parquet --output prm800k.jsonl
  python -m llm convert answers.csv --map question=problem,answer=solution,label=correct --output records.jsonl.gz
  python -m llm convert records.jsonl --to trl --output trl.jsonl"""


def main(argv: list[str]) -> None:
    arguments = _parse(argv)
    with plain_errors(ValueError, OSError):
        files = _files(arguments)
        outputs = [path for path in (arguments.output, arguments.rejects) if path is not None]
        check_outputs(outputs, files, arguments.overwrite)
        form = FORMATS.get(arguments.format) or find_format(files, arguments.map)
        target = FORMATS[arguments.to] if arguments.to else None
        options = _options(arguments, form, target)
        job = Job(form, options, arguments.map, target, whole_rows=arguments.rejects is not None)
        how = "as named" if arguments.format else "found by the fields"
        print(f"{listed([shown_path(path) for path in files], most=2)}: {form.name}, {how}", flush=True)
        print("\n".join(_run(files, job, outputs, arguments)))


def _files(arguments: argparse.Namespace) -> list[Path]:
    try:
        return find_files(arguments.inputs, ROW_SUFFIXES)
    except ValueError as error:
        first = arguments.inputs[0]
        near = get_close_matches(first.lower().replace("_", "-"), FORMATS, n=1)
        if arguments.format or not near or len(arguments.inputs) == 1:
            raise
        raise ValueError(f"{error}\nIf {first} is meant as a format, write {near[0]}.") from None


def _run(files: list[Path], job: Job, outputs: list[Path], arguments: argparse.Namespace) -> list[str]:
    """The report; ValueError, and no file, if something in the files cannot be used."""
    with reading_bar(files, sys.stderr.isatty()) as progress, new_files(outputs) as (output, *rejects):
        counts = convert_files(files, job, output, rejects[0] if rejects else None, progress)
        if why := refusal(counts, arguments.skip_bad_records or bool(rejects)):
            raise ValueError(why)
    return report(counts, arguments.output, arguments.rejects)


def _options(arguments: argparse.Namespace, form: Format, target: Format | None) -> Options:
    """ValueError for those that mean nothing here."""
    options = Options(**{name: getattr(arguments, name) for name in Options.__dataclass_fields__})
    obeyed = {*form.obeys, *(target.obeys if target else ()), *(("threshold",) if target else ())}
    unknown = [name for name in options.given() if name not in obeyed]
    if unknown:
        lines = []
        for name in unknown:
            users = [other.name for other in FORMATS.values() if name in other.obeys]
            lines.append(
                f"--{name} means nothing in the format {form.name}; it is for {', '.join(users)}: leave it out"
            )
        raise ValueError("\n".join(lines))
    return options


def _parse(argv: list[str]) -> argparse.Namespace:
    width = max(map(len, FORMATS)) + 2
    formats = "\n".join(f"  {name:<{width}}{form.meaning}" for name, form in FORMATS.items())
    parser = ArgumentParser(
        prog="python -m llm convert",
        usage="python -m llm convert [FORMAT] INPUT... --output OUT.jsonl[.gz] [options]",
        description="Data sets in other formats -> JSON Lines of this project's records, and back.",
        epilog=f"{EXAMPLE}\n\nformats:\n{formats}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="file, folder or pattern; the name of a format may precede the inputs",
    )
    add("--output", type=Path, required=True, help="file to write, .jsonl or .jsonl.gz")
    add("--to", choices=WRITABLE, help="write this format in place of records")
    add("--map", type=_names, default={}, metavar="FIELD=COLUMN,...", help="which column of the input is which field")
    add("--rejects", type=Path, metavar="FILE", help="rows that cannot be converted go here, each with the reason")
    add("--skip_bad_records", action="store_true", help="leave rows out that cannot be converted, and count them")
    add("--overwrite", action="store_true", help="replace the output if it exists")
    add("--neutral", choices=NEUTRAL, help="prm800k: what a rating of 0 is (default: good; soft: 0.5; skip: no label)")
    add("--threshold", type=_share, help="soft labels above it become +, others - (default: they stay soft)")
    add("--placeholder", help="token after each step (default: the format's own)")
    add("--tokenizer", metavar="FOLDER", help="mindspeed: the tokenizer that made the token ids")
    add("--step_separator", type=_text, help="columns: where one text is cut into steps, such as '\\n\\n'")
    add("--repeat_labels", action="store_true", default=None, help="trees: label shared steps in each record, not once")
    add("--margins", action="store_true", default=None, help="pairs: the difference of the scores as margin")
    arguments = parser.parse_args(argv)
    arguments.format = arguments.inputs.pop(0) if arguments.inputs[0] in FORMATS else None
    if not arguments.inputs:
        parser.error(f"no input to convert from {arguments.format}; name a file, a folder or a pattern")
    return arguments


def _names(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(field.strip() and column.strip() for field, _, column in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=COLUMN, or several of these with commas between")
    names = {field.strip(): column.strip() for field, _, column in pairs}
    if len(names) < len(pairs):
        raise argparse.ArgumentTypeError(f"{text!r} names a field twice")
    return names


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to below 1")
    return value


def _text(text: str) -> str:
    r"""\n and \t as a shell has them in quotation marks."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; give the text between two steps")
    return text.replace("\\n", "\n").replace("\\t", "\t")
