"""The rows of a file of values separated by commas or tabs, with the names of the columns in its first line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from llm.core.console import count_of
from llm.core.paths import shown_path
from llm.core.records.json_stream import LONGEST, Item
from llm.core.records.problem import Problem, excerpt
from llm.core.records.unpacked import DAMAGE, unpacked
from llm.core.records.unreadable import broken_file, cut_short


def read_separated(path: Path, separator: str, progress: Callable[[int], object]) -> Iterator[Item]:
    """(place, row, ""); all values are strings. The place is the line in which the row ends, as values in quotation
    marks may have line breaks."""
    name, count, read = shown_path(path), 0, 0
    csv.field_size_limit(LONGEST)
    try:
        with open(path, "rb") as file, unpacked(file) as stream:
            # Bytes that are no UTF-8 become lone surrogates, so that they cost their own row only.
            text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
            lines = csv.reader(text, delimiter=separator, strict=True)
            names = next(lines, [])
            if problem := _problem_of_names(name, names):
                yield name, problem, ""
                return
            for values in lines:
                if values:
                    count += 1
                    place = f"{name}:{lines.line_num}"
                    yield place, _row(place, names, values), ""
                if (here := file.tell()) != read:
                    progress(here - read)
                    read = here
            if not count:
                yield name, broken_file(name, "no row in the file", "it is empty", "remove it from the paths"), ""
    except DAMAGE as error:
        yield name, cut_short(name, count, error), ""
    except csv.Error as error:  # where the next row begins is not known any more
        detail = f"line {lines.line_num}, after {count_of(count, 'row')}: {error}"
        yield name, broken_file(name, "file cannot be read", detail, "repair the line, or write the file again"), ""


def _problem_of_names(name: str, names: list[str]) -> Problem | None:
    if not names:
        return broken_file(name, "no row in the file", "it is empty", "remove it from the paths")
    if "\0" in "".join(names):
        return broken_file(name, "not a text file", f"it begins {''.join(names)[:8]!r}", "write it in UTF-8")
    if twice := [column for column, number in Counter(names).items() if number > 1]:
        return broken_file(name, "column given twice", excerpt(twice), "name each column once, in the first line")
    return None


def _row(place: str, names: list[str], values: list[str]) -> object:
    if len(values) != len(names):
        detail = f"{count_of(len(values), 'value')}, {count_of(len(names), 'column')}"
        remedy = "give each column a value; in quotation marks it may have separators and line breaks"
        return Problem(place, excerpt(values), "values and columns differ in number", detail, remedy)
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return Problem(place, excerpt(values), "invalid UTF-8", "", "save the file as UTF-8")
    return dict(zip(names, values, strict=True))
