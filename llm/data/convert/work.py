"""Rows of files -> records of this project or rows of another format, each checked and counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

from llm.core.console import listed
from llm.core.records.fields import check_characters, label_values
from llm.core.records.json_stream import no_progress
from llm.core.records.problem import Problem, excerpt
from llm.core.records.reward_records import Preference, Record, parse_preference, parse_record
from llm.data.convert.counts import Counts
from llm.data.convert.finish import finished
from llm.data.convert.form import RIGHT, WRONG, Format, Note, Options, Row, Unfit, Unusable
from llm.data.convert.formats.preferences import NO_PROMPT
from llm.data.convert.placeholders import NO_QUESTION
from llm.data.convert.registry import format_of
from llm.data.output import LineFile
from llm.data.reading.rows import read_rows

VALUES = label_values((RIGHT, WRONG))
NOTHING = "no part of it has a label"
BLANK_QUESTION = "records with a blank question"


@dataclass(frozen=True)
class Job:
    """`names` says which column is which field. `whole_rows`: all columns are read, for rows that may be rejected."""

    form: Format
    options: Options
    names: Mapping[str, str]
    target: Format | None = None
    whole_rows: bool = False

    def columns(self) -> frozenset[str] | None:
        fields = self.form.fields + self.form.others
        return None if self.whole_rows else frozenset(self.names.get(name, name) for name in fields)


@dataclass(frozen=True, slots=True)
class Item:
    """A row, or several that are converted together; `row` is what the format gets, or why it gets nothing, `read`
    what the file has."""

    place: str
    row: Row | list[Problem]
    read: list[object]


@dataclass(frozen=True, slots=True)
class Written:
    """A line of the output, and the record that it is."""

    line: dict
    record: Record | Preference | None


class Bad(Exception):
    """A row that cannot be converted, with its problems."""


def find_format(files: list[Path], names: Mapping[str, str]) -> Format:
    """That of the first row that can be read."""
    for place, row, _ in chain.from_iterable(map(read_rows, files)):
        if isinstance(row, dict):
            _check_names(names, row, place)
            return format_of(renamed(row, names), place)
        if isinstance(row, Problem) and row.whole_file:
            raise ValueError(str(row))
    raise ValueError(f"no row of {files[0]} is an object with fields; name the format first: convert FORMAT INPUT ...")


def _check_names(names: Mapping[str, str], row: Row, place: str) -> None:
    if unknown := [column for column in names.values() if column not in row]:
        columns = listed([repr(column) for column in unknown])
        raise ValueError(f"--map names {columns}; the columns of {place} are {listed(list(row), most=20)}.")


def renamed(row: Row, names: Mapping[str, str]) -> Row:
    if not names:
        return row
    taken = set(names.values())
    kept = {column: value for column, value in row.items() if column not in taken}
    return kept | {name: row[column] for name, column in names.items() if column in row}


def convert_files(
    files: list[Path],
    job: Job,
    output: LineFile,
    rejects: LineFile | None = None,
    progress: Callable[[int], object] = no_progress,
) -> Counts:
    counts = Counts()
    for item in _items(files, job, counts, progress):
        try:
            written, notes = _converted(item, job)
        except Unusable as error:
            reason, value = (*error.args, None)[:2]
            counts.drop(reason, len(item.read), item.place, value)
        except Bad as error:
            problems = error.args[0]
            counts.reject(problems, len(item.read))
            if rejects is not None:
                for row in item.read:
                    rejects.write(_rejected(item.place, row, problems))
        else:
            for note in notes:
                counts.note(note, item.place)
            for one in written:
                output.write(one.line)
                counts.keep(one.record)
    return counts


def _items(files: list[Path], job: Job, counts: Counts, progress: Callable[[int], object]) -> Iterator[Item]:
    items = _single_items(files, job, counts, progress)
    name = job.form.grouped_by
    if not name:
        yield from items
        return
    for _, group in groupby(items, lambda item: item.row[name] if isinstance(item.row, dict) else item):
        first, *others = group
        if isinstance(first.row, dict):
            rows = [first, *others]
            yield Item(first.place, {"rows": [one.row for one in rows]}, [row for one in rows for row in one.read])
        else:
            yield from (first, *others)


def _single_items(files: list[Path], job: Job, counts: Counts, progress: Callable[[int], object]) -> Iterator[Item]:
    for path in files:
        for place, row, text in read_rows(path, job.columns(), progress):
            if isinstance(row, Problem) and row.whole_file:
                counts.broken.append(row)
                continue
            counts.rows += 1
            read = (text or None) if isinstance(row, Problem) else row
            yield Item(place, _checked(row, place, job), [read])


def _checked(row: object, place: str, job: Job) -> Row | list[Problem]:
    if isinstance(row, Problem):
        return [row]
    names = ", ".join(job.form.fields)
    if not isinstance(row, dict):
        return [Problem(place, excerpt(row), "not an object", "", f"a row of this format has {names}")]
    row = renamed(row, job.names)
    if missing := [_with_column(name, job.names) for name in job.form.fields if name not in row]:
        detail = f"no {', '.join(missing)}"
        return [Problem(place, excerpt(list(row)), "missing key", detail, f"a row of this format has {names}")]
    return row


def _with_column(name: str, names: Mapping[str, str]) -> str:
    return f"{name} (column {names[name]})" if name in names else name


def _converted(item: Item, job: Job) -> tuple[list[Written], list[Note]]:
    """What is to be written; Unusable, or Bad, if a part of the row cannot be used."""
    if isinstance(item.row, list):
        raise Bad(item.row)
    written: list[Written] = []
    notes: list[Note] = []
    nothing: Unusable | None = None
    blank = 0
    try:
        for made in job.form.convert(item.row, job.options):
            try:
                for one in finished(made, job.options):
                    if isinstance(one, Note):
                        notes.append(one)
                    else:
                        written += _lines_of(one, item.place, job, notes)
                        blank += not any(map(str.strip, one["src"]))
            except Unusable as error:
                nothing = error
                notes.append(Note(f"records left out for {error.args[0]}"))
    except Unfit as error:
        value, reason, detail, remedy = error.args
        raise Bad([Problem(item.place, excerpt(value), reason, detail, remedy)]) from None
    if not written:
        raise nothing or Unusable(NOTHING)
    if blank and "src" not in job.form.fields and not any(note.what in (NO_QUESTION, NO_PROMPT) for note in notes):
        notes.append(Note(BLANK_QUESTION, blank))
    return written, notes


def _lines_of(record: dict, place: str, job: Job, notes: list[Note]) -> Iterator[Written]:
    parsed = _parsed(record, place)
    if isinstance(parsed, list):
        raise Bad(parsed)
    if job.target is None or job.target.write is None:
        yield Written(record, parsed)
        return
    for one in job.target.write(record, job.options):
        if isinstance(one, Note):
            notes.append(one)
        else:
            yield Written(one, parsed)


def _parsed(record: dict, place: str) -> Record | Preference | list[Problem] | None:
    """As training reads it; None for what is not judged."""
    if "response" in record:
        return parse_preference(record, place)
    if "responses" in record:
        return parse_record(record, place, VALUES)
    problems: list[Problem] = []
    check_characters(
        [*record["src"], *record["tgt"]],
        lambda value, *why: problems.append(Problem(place, excerpt(value), *why)),
    )
    return problems or None


def _rejected(place: str, row: object, problems: list[Problem]) -> dict:
    try:
        kept = _as_json(row)
    except RecursionError:
        kept = excerpt(row)
    return {"place": place, "problems": [str(problem) for problem in problems], "row": kept}


def _as_json(value: object) -> object:
    """What JSON does not have (NaN, times, bytes) as text."""
    if isinstance(value, dict):
        return {str(key): _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(inner) for inner in value]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)
