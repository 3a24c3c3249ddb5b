"""Reading: files with records of any kind -> validated records, with every problem reported or counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from llm.core.console import count_of
from llm.core.paths import PathSetting, find_files
from llm.core.records.json_stream import no_progress, read_values
from llm.core.records.problem import Problem
from llm.core.records.reward_records import (
    LABELLED,
    OF_OTHER_FORM,
    Preference,
    Record,
    forms_of,
    is_of_both,
    of_both,
    parser_of,
)

SHOWN = 20


@dataclass
class ReadCounts:
    """What a pass over the data met: `read` is `kept` plus the sum of `dropped`.

    A record with several problems is counted in `dropped` once, by the first. `steps` (those with a label) and
    `positive` (the sum of the labels) are those of the records kept.
    """

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    positive: float = 0.0
    at_once: bool = False  # what cannot be used ends the pass, and not its end

    def keep(self, record: object) -> None:
        self.kept += 1
        if isinstance(record, Record):
            labels = [label for label in record.labels if label is not None]
            self.steps += len(labels)
            self.positive += sum(labels)


Some = TypeVar("Some")


class BadRecords(ValueError):
    """Data that cannot be used; the text is a report of all files."""


def find_form(paths: PathSetting) -> tuple[str, str] | None:
    """(LABELLED or PREFERENCES, the place of the first record whose fields decide it), or None if none does; BadRecords
    if one has the fields of both."""
    for path in find_files(paths):
        for place, value in read_values(path):
            if is_of_both(value):
                raise BadRecords(str(of_both(place, value)))
            if len(forms := forms_of(value)) == 1:
                return forms[0], place
    return None


def iter_records(
    paths: PathSetting,
    reward_tokens: Sequence[str] = ("+", "-"),
    counts: ReadCounts | None = None,
    skip_bad: bool = False,
    form: str = LABELLED,
    progress: Callable[[int], object] = no_progress,
) -> Iterator[Record | Preference]:
    """The records of all files that `paths` means (see `find_files`), read as they are asked for.

    `reward_tokens` are the positive and the negative label. `counts` is added to while reading. The paths are
    looked up at once. BadRecords is raised at the end of the data (`counts.at_once`: at the first) if a record was bad,
    unless `skip_bad` is given, which drops and counts these; and always if a file could not be read, a record has the
    other form, or no record was kept. `progress` is that of `read_values`.
    """
    counts = ReadCounts() if counts is None else counts
    return stream_records(find_files(paths), parser_of(form, reward_tokens), counts, skip_bad, progress)


def read_records(
    paths: PathSetting,
    reward_tokens: Sequence[str] = ("+", "-"),
    counts: ReadCounts | None = None,
    skip_bad: bool = False,
    form: str = LABELLED,
) -> list[Record | Preference]:
    """All records at once; otherwise as `iter_records`."""
    return list(iter_records(paths, reward_tokens, counts, skip_bad, form))


def stream_records(
    files: list[Path],
    parse: Callable[[object, str], Some | list[Problem]],
    counts: ReadCounts,
    skip_bad: bool,
    progress: Callable[[int], object],
) -> Iterator[Some]:
    """What `parse` makes of the values of all files; otherwise as `iter_records`."""
    # A file may have millions of bad records: the first are kept, of the others the number.
    broken: list[Problem] = []
    first: list[Problem] = []
    totals: Counter[str] = Counter()
    read = kept = 0
    mixed = False
    for place, value in (one for path in files for one in read_values(path, progress=progress)):
        if isinstance(value, Problem) and value.whole_file:
            broken.append(value)
        else:
            read += 1
            counts.read += 1
            result = parse(value, place)
            if isinstance(result, list):
                mixed = mixed or result[0].reason in OF_OTHER_FORM
                counts.dropped[result[0].reason] += 1
                totals.update(problem.reason for problem in result)
                first += result[: SHOWN - len(first)]
            else:
                kept += 1
                counts.keep(result)
                yield result
        if counts.at_once and (broken or mixed or (first and not skip_bad)):
            break
    if skip_bad and kept and not mixed:
        first, totals = [], Counter()
    if broken or first:
        raise BadRecords(_report(broken, first, totals, (read, kept), is_whole=not counts.at_once, skippable=not mixed))


def _report(
    broken: list[Problem],
    first: list[Problem],
    totals: Counter[str],
    counts: tuple[int, int],
    is_whole: bool,
    skippable: bool,
) -> str:
    """`counts` are the records read and kept; `is_whole`: of all data."""
    read, kept = counts
    so_far = "" if is_whole else " that were read so far"
    heads = [f"{read - kept} of {read} records{so_far} cannot be used"] if first else []
    heads += [f"{count_of(len(broken), 'file')} cannot be read"] if broken else []
    totals = totals + Counter(problem.reason for problem in broken)
    shown = (broken + first)[:SHOWN]
    lines = [", and ".join(heads) + ":", *(f"  {problem}" for problem in shown)]
    if more := totals.total() - len(shown):
        lines.append(f"  and {more} more problems")
    lines.append("By reason: " + ", ".join(f"{reason} {n}" for reason, n in totals.most_common()))
    if not kept and is_whole:
        lines.append("No usable record is left.")
    elif first and skippable:
        lines.append("Repair them, or set `skip_bad_records: true` to drop and count these records.")
    return "\n".join(lines)
