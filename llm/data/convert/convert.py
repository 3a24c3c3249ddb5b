"""Other data sets' files -> JSON Lines of this project's records.

    python -m llm convert FORMAT SOURCE OUTPUT [--overwrite] [--skip_bad_records]

SOURCE is Parquet, JSON Lines or a JSON list (plain or gzip, recognised by the content): a file, a folder or a pattern,
as in train_dataset_path. It is read row by row, and OUTPUT appears when all of it is written; a name that ends with .gz
is compressed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from llm.core.console import ArgumentParser, count_of, plain_errors
from llm.core.paths import find_files
from llm.core.records.json_stream import read_values
from llm.core.records.problem import Problem, excerpt
from llm.core.records.records import Record, label_values, parse_record
from llm.data.convert.formats import FORMATS, RIGHT, WRONG, Format, Mended, Unfit

SHOWN_PROBLEMS, SHOWN_PLACES = 20, 3
PARQUET_BATCH = 1024
EXPECTED = {str: "a string", list: "a list", int: "a whole number", type(None): "null"}


@dataclass
class Counts:
    """What became of the rows: `read` is `written` plus those `left_out`, plus the `bad` ones, which contradict their
    format."""

    read: int = 0
    written: int = 0
    steps: int = 0
    positive: float = 0.0
    left_out: Counter[str] = field(default_factory=Counter)  # by reason
    mended: Counter[str] = field(default_factory=Counter)  # what was dropped from rows that are kept
    bad: Counter[str] = field(default_factory=Counter)  # by the first reason
    places: dict[str, list[str]] = field(default_factory=dict)  # the first of each reason
    problems: list[Problem] = field(default_factory=list)  # the first of the bad rows
    broken: list[Problem] = field(default_factory=list)  # files

    def leave_out(self, kind: Counter[str], reason: str, place: str) -> None:
        kind[reason] += 1
        first = self.places.setdefault(reason, [])
        first += [place][: SHOWN_PLACES - len(first)]


def main(argv: list[str]) -> None:
    arguments = _parse(argv)
    with plain_errors(ValueError, OSError):
        files = find_files(arguments.source)
        _check_output(arguments.output, files, arguments.overwrite)
        counts = convert(FORMATS[arguments.format], files, arguments.output, arguments.skip_bad_records)
    print("\n".join(describe(counts, arguments.output)))


def convert(form: Format, files: list[Path], output: Path, skip_bad: bool) -> Counts:
    """Write what the files hold; ValueError, and no file, if something in them cannot be used."""
    counts = Counts()
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f"{output.name}.{os.getpid()}.part")
    try:
        with gzip.open(part, "wb") if output.suffix == ".gz" else open(part, "wb") as file:
            for record in tqdm(_records(form, files, counts), "convert", unit=" records", disable=None):
                file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
                counts.written += 1
        _check(counts, skip_bad)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    return counts


def describe(counts: Counts, output: Path) -> list[str]:
    share = counts.positive / counts.steps
    return [
        f"{output}: {counts.written:,} records of {counts.read:,} rows; {counts.steps:,} steps, {share:.1%} of them +",
        *(f"  {number:,} {what}" for what, number in counts.mended.items()),
        *_left_out(counts),
    ]


def _left_out(counts: Counts) -> list[str]:
    lines = []
    for reason, number in (counts.left_out + counts.bad).items():
        more = "; ..." if number > SHOWN_PLACES else ""
        lines.append(f"  {number:,} left out: {reason} ({'; '.join(counts.places[reason])}{more})")
    return lines


def _records(form: Format, files: list[Path], counts: Counts) -> Iterator[dict]:
    values = label_values((RIGHT, WRONG))
    for place, row in (item for path in files for item in _rows(path, form)):
        if isinstance(row, Problem) and row.whole_file:
            counts.broken.append(row)
            continue
        counts.read += 1
        found = _convert_row(form, row, place)
        if isinstance(found, str):
            counts.leave_out(counts.left_out, found, place)
            continue
        if isinstance(found, Mended):
            counts.mended[found.what] += found.number
            found = found.record
        checked = found if isinstance(found, list) else parse_record(found, place, values)
        if isinstance(checked, Record):
            counts.steps += len(checked.steps)
            counts.positive += sum(label for label in checked.labels if label is not None)
            yield found  # type: ignore[misc]  # what made a Record is a dict
        else:
            counts.leave_out(counts.bad, checked[0].reason, place)
            counts.problems += checked[: SHOWN_PROBLEMS - len(counts.problems)]


def _convert_row(form: Format, row: object, place: str) -> dict | Mended | str | list[Problem]:
    """The record, why there is none, or what is wrong with the row."""
    if isinstance(row, Problem):
        return [row]
    names = ", ".join(form.fields)
    if not isinstance(row, dict):
        return [Problem(place, excerpt(row), "not an object", "", f"a row of this format has {names}")]
    missing = [name for name in form.fields if name not in row]
    if missing:
        detail = f"no {', '.join(missing)}"
        return [Problem(place, excerpt(list(row)), "missing key", detail, f"a row of this format has {names}")]
    wrong = [name for name, types in form.fields.items() if type(row[name]) not in types]
    if wrong:
        expected = {name: " or ".join(EXPECTED[kind] for kind in form.fields[name]) for name in wrong}
        return [Problem(place, excerpt(row[name]), "wrong type", name, f"it is {expected[name]}") for name in wrong]
    try:
        return form.convert(row)
    except Unfit as error:
        value, reason, detail, remedy = error.args
        return [Problem(place, excerpt(value), reason, detail, remedy)]


def _rows(path: Path, form: Format) -> Iterator[tuple[str, object]]:
    """(place, row) of a file; a Problem in the place of what cannot be read."""
    with open(path, "rb") as stream:
        is_parquet = stream.read(4) == b"PAR1"
    return _parquet_rows(path, form) if is_parquet else read_values(path)


def _parquet_rows(path: Path, form: Format) -> Iterator[tuple[str, object]]:
    import pyarrow
    from pyarrow import parquet

    name = str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            columns = [column for column in file.schema_arrow.names if column in form.fields]
            for batch in file.iter_batches(PARQUET_BATCH, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{name}, row {number}", row
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        detail = f"after {number} rows: {' '.join(str(error).split())}"
        yield name, Problem(name, "", "file cannot be read", detail, "fetch or write it again", whole_file=True)


def _check(counts: Counts, skip_bad: bool) -> None:
    """Raise what is wrong with the file that was written."""
    bad = 0 if skip_bad else counts.bad.total()
    if counts.broken or bad:
        heads = [f"{bad:,} of {counts.read:,} rows cannot be converted"] if bad else []
        heads += [f"{count_of(len(counts.broken), 'file')} cannot be read"]
        shown = (counts.broken + (counts.problems if bad else []))[:SHOWN_PROBLEMS]
        lines = [f"{', and '.join(heads if counts.broken else heads[:1])}; nothing is written:"]
        lines += [f"  {problem}" for problem in shown]
        if bad:
            lines.append("By reason: " + ", ".join(f"{reason} {n:,}" for reason, n in counts.bad.most_common()))
            lines.append("Repair them, or leave them out and count them with --skip_bad_records.")
        raise ValueError("\n".join(lines))
    if not counts.written:
        lines = [f"none of {counts.read:,} rows gives a record; nothing is written:", *_left_out(counts)]
        raise ValueError("\n".join(lines))


def _check_output(output: Path, files: list[Path], overwrite: bool) -> None:
    if output.is_dir():
        raise ValueError(f"{output} is a folder; name the file to write.")
    if output.exists() and any(output.samefile(path) for path in files):
        raise ValueError(f"{output} is one of the files to convert; give another name.")
    if output.exists() and not overwrite:
        raise ValueError(f"{output} exists already; give another name, or replace it with --overwrite.")


def _parse(argv: list[str]) -> argparse.Namespace:
    formats = "\n".join(
        f"  {name:<20}{form.meaning}:\n{'':<22}{', '.join(form.fields)}" for name, form in FORMATS.items()
    )
    parser = ArgumentParser(
        prog="python -m llm convert",
        description="Other data sets' files -> JSON Lines of this project's records.",
        epilog=f"formats, and what their rows have:\n{formats}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("format", metavar="FORMAT", choices=FORMATS, help="one of those below")
    parser.add_argument("source", metavar="SOURCE", help="Parquet, JSON Lines or a JSON list: file, folder, pattern")
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="file to write, .jsonl or .jsonl.gz")
    parser.add_argument("--overwrite", action="store_true", help="replace OUTPUT if it exists")
    parser.add_argument(
        "--skip_bad_records",
        action="store_true",
        help="leave out and count rows that cannot be converted, instead of stopping",
    )
    return parser.parse_args(argv)
