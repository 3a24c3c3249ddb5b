"""Reward data: rows on disk -> validated records, of one of two forms.

Labelled records have `src` (what the user says: a string, or a list of turns), `tgt` (what the model answered before,
one turn fewer than `src`; may be missing, null, "" or empty when there is one turn), `responses` (the steps) and
`labels` (one per step). Preferences have `src`, `tgt`, `response` (two answers) and `sort` (two numbers, the larger
one for the better answer). Both may have a `weight`, preferences a `margin`. Other keys are ignored. Steps and
answers lose the white space around them and are never split. `src` may be blank, with the question inside the first
step; in a dialogue no turn may be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeGuard, TypeVar

from llm.core.console import count_of
from llm.core.paths import PathSetting, find_files
from llm.core.records.fields import (
    Bad,
    answers_of,
    check_characters,
    chosen_of,
    collector,
    dialogue_of,
    is_object,
    label_values,
    labels_of,
    number_of,
    steps_of,
)
from llm.core.records.json_stream import no_progress, read_values
from llm.core.records.problem import Problem, excerpt

__all__ = [
    "BadRecords",
    "Preference",
    "ReadCounts",
    "Record",
    "find_form",
    "iter_records",
    "label_values",
    "parse_preference",
    "parse_record",
    "parser_of",
    "read_records",
]

SHOWN = 20
LEAST_WEIGHT = 1e-6  # of a record; 0 would be a record that is computed for nothing
LABELLED, PREFERENCES = "labelled record", "preference record"
BOTH_FORMS, MISSING_KEY = "record of both forms", "missing key"
OF_OTHER_FORM = (BOTH_FORMS, LABELLED, PREFERENCES)  # reasons that are never skipped: data is of one form
FIELDS = {
    LABELLED: "src, tgt, responses (list of steps) and labels (one per step)",
    PREFERENCES: "src, tgt, response (two answers) and sort (two numbers)",
}
REQUIRED = {LABELLED: ("src", "responses", "labels"), PREFERENCES: ("src", "response", "sort")}


@dataclass(frozen=True, slots=True)
class Record:
    """One solution: the dialogue, the steps, a label per step (1.0 right, 0.0 wrong, None: not scored), what it counts,
    where it was read."""

    src: tuple[str, ...]
    tgt: tuple[str, ...]
    steps: tuple[str, ...]
    labels: tuple[float | None, ...]
    place: str
    weight: float = 1.0

    def __reduce__(self) -> tuple:
        """Between processes: several times as fast as what dataclasses do."""
        return Record, (self.src, self.tgt, self.steps, self.labels, self.place, self.weight)


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one dialogue, the margin by which the chosen one should win (None: not said), what it counts."""

    src: tuple[str, ...]
    tgt: tuple[str, ...]
    chosen: str
    rejected: str
    margin: float | None
    place: str
    weight: float = 1.0


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


Parsed = TypeVar("Parsed", Record, Preference)
Some = TypeVar("Some")
Parse = Callable[[object, str], Record | Preference | list[Problem]]


class BadRecords(ValueError):
    """Data that cannot be used; the text is a report of all files."""


# ---- reading


def find_form(paths: PathSetting) -> tuple[str, str] | None:
    """(LABELLED or PREFERENCES, the place of the first record whose fields decide it), or None if none does; BadRecords
    if one has the fields of both."""
    for path in find_files(paths):
        for place, value in read_values(path):
            if _is_of_both(value):
                raise BadRecords(str(_of_both(place, value)))
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


# ---- validation


def parser_of(form: str, reward_tokens: Sequence[str] = ("+", "-")) -> Parse:
    """What makes a record of that form of a value that was read and its place, or says all that is wrong with it."""
    parse = parse_preference if form == PREFERENCES else partial(parse_record, values=label_values(reward_tokens))
    of_other_form = frozenset(REQUIRED[LABELLED if form == PREFERENCES else PREFERENCES]) - {"src"}

    def parse_value(value: object, place: str) -> Record | Preference | list[Problem]:
        if isinstance(value, dict) and of_other_form.isdisjoint(value):  # almost every record, so it comes first
            return parse(value, place)
        if isinstance(value, Problem):
            return [value]
        if _is_of_both(value):
            return [_of_both(place, value)]
        if isinstance(value, dict) and (forms := forms_of(value)) and form not in forms:
            return [_other_form(place, value, form)]
        return parse(value, place)

    return parse_value


def forms_of(value: object) -> list[str]:
    """The forms of which a record has all fields, or else some."""
    if not isinstance(value, dict):
        return []
    own = {form: [key in value for key in keys[1:]] for form, keys in REQUIRED.items()}
    return [form for form in own if all(own[form])] or [form for form in own if any(own[form])]


def _is_of_both(value: object) -> TypeGuard[dict]:
    return isinstance(value, dict) and all(key in value for keys in REQUIRED.values() for key in keys)


def _of_both(place: str, value: dict) -> Problem:
    both = f"it has the fields of a {LABELLED} ({FIELDS[LABELLED]}) and of a {PREFERENCES} ({FIELDS[PREFERENCES]})"
    return Problem(place, excerpt(list(value)), BOTH_FORMS, both, "leave out the fields of one of them")


def _other_form(place: str, value: dict, form: str) -> Problem:
    other = PREFERENCES if form == LABELLED else LABELLED
    detail = f"it has {FIELDS[other]}, the data is read as {form}s with {FIELDS[form]}"
    return Problem(place, excerpt(list(value)), other, detail, "give data of one form only")


def parse_record(value: object, place: str, values: Mapping[object, float | None]) -> Record | list[Problem]:
    """The labelled record that a JSON value is, or all that is wrong with it. `values` is from `label_values`."""
    return _parse(LABELLED, value, place, partial(_labelled, values=values))


def parse_preference(value: object, place: str) -> Preference | list[Problem]:
    """The preference that a JSON value is, or all that is wrong with it."""
    return _parse(PREFERENCES, value, place, _preference)


def _parse(form: str, value: object, place: str, build: Callable[[dict, str, Bad], Parsed]) -> Parsed | list[Problem]:
    found, bad = collector(place)
    if not is_object(value, FIELDS[form], bad):
        return found

    if missing := [key for key in REQUIRED[form] if key not in value]:
        bad(list(value), MISSING_KEY, f"no {', '.join(missing)}", f"a record has {FIELDS[form]}")
    record = build(value, place, bad)
    return found or record


def _labelled(value: dict, place: str, bad: Bad, values: Mapping[object, float | None]) -> Record:
    src, tgt = dialogue_of(value, bad)
    steps = steps_of(value, bad)
    labels = labels_of(value, values, bad)
    if steps and labels and len(steps) != len(labels):
        detail = f"responses: {len(steps)}, labels: {len(labels)}"
        bad(value["labels"], "labels and responses differ in length", detail, "give each step one label")
    weight = number_of(value, "weight", 1.0, LEAST_WEIGHT, bad)
    check_characters(src + tgt + steps, bad)
    return Record(src, tgt, steps, labels, place, weight)


def _preference(value: dict, place: str, bad: Bad) -> Preference:
    src, tgt = dialogue_of(value, bad)
    answers = answers_of(value, bad) or ("", "")
    chosen = chosen_of(value, bad)
    margin = number_of(value, "margin", None, 0, bad)
    weight = number_of(value, "weight", 1.0, LEAST_WEIGHT, bad)
    check_characters(src + tgt + answers, bad)
    return Preference(src, tgt, answers[chosen], answers[1 - chosen], margin, place, weight)
