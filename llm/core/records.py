"""Process-reward data: rows on disk -> validated records.

A record has `src` (what the user says: a string, or a list of turns), `tgt` (what the model answered before,
one turn fewer than `src`; may be missing, null, "" or empty when there is one turn), `responses` (the steps)
and `labels` (one per step). Other keys are passed over. Steps lose the white space around them and are never
split. `src` may be blank, with the question inside the first step; in a dialogue no turn may be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm.core.record_files import PathSetting, find_files, resolve_path
from llm.core.record_json import Problem, read_values, shorten

__all__ = [
    "BadRecords",
    "ReadCounts",
    "Record",
    "check_records",
    "iter_records",
    "label_values",
    "parse_record",
    "read_records",
    "resolve_path",
]

SHOWN = 20
REQUIRED = ("src", "responses", "labels")
FORM = "src, tgt, responses (list of steps) and labels (one per step)"
PREFERENCE = "src, tgt, response and sort"
TYPE_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}
Bad = Callable[[object, str, str, str], None]  # value, reason, detail, remedy


@dataclass(frozen=True, slots=True)
class Record:
    """One solution: the dialogue, the steps, a label per step (1.0 right, 0.0 wrong), where it was read."""

    src: tuple[str, ...]
    tgt: tuple[str, ...]
    steps: tuple[str, ...]
    labels: tuple[float, ...]
    place: str


@dataclass
class ReadCounts:
    """What a pass over the data met: `read` is `kept` plus the sum of `dropped`.

    A record with several problems is counted in `dropped` once, by the first. `steps` and `positive` (the sum
    of the labels) are those of the records kept.
    """

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    positive: float = 0.0


class BadRecords(ValueError):
    """Data that cannot be used; the text is a report of all files."""


# ---- reading


def iter_records(
    paths: PathSetting,
    reward_tokens: Sequence[str] = ("+", "-"),
    counts: ReadCounts | None = None,
    skip_bad: bool = False,
) -> Iterator[Record]:
    """The records of all files that `paths` means (see `find_files`), read as they are asked for.

    `reward_tokens` are the positive and the negative label. `counts` is added to on the way. The paths are
    looked up at once. BadRecords is raised at the end of the data if a record was bad, unless `skip_bad` is
    given, which drops and counts these; and always if a file could not be read or no record was kept.
    """
    counts = ReadCounts() if counts is None else counts
    return _stream(find_files(paths), label_values(reward_tokens), counts, skip_bad)


def read_records(
    paths: PathSetting,
    reward_tokens: Sequence[str] = ("+", "-"),
    counts: ReadCounts | None = None,
    skip_bad: bool = False,
) -> list[Record]:
    """All records at once; otherwise as `iter_records`."""
    return list(iter_records(paths, reward_tokens, counts, skip_bad))


def check_records(
    paths: PathSetting, reward_tokens: Sequence[str] = ("+", "-"), skip_bad: bool = False
) -> ReadCounts:
    """Read everything and keep nothing: the counts, or BadRecords as in `iter_records`."""
    counts = ReadCounts()
    for _ in iter_records(paths, reward_tokens, counts, skip_bad):
        pass
    return counts


def _stream(
    files: list[Path], values: Mapping[object, float], counts: ReadCounts, skip_bad: bool
) -> Iterator[Record]:
    # A file may have millions of bad records: the first are kept, of the others the number.
    broken: list[Problem] = []
    first: list[Problem] = []
    totals: Counter[str] = Counter()
    read = kept = 0
    for path in files:
        for place, value in read_values(path):
            if isinstance(value, Problem) and value.whole_file:
                broken.append(value)
                continue
            read += 1
            counts.read += 1
            result = [value] if isinstance(value, Problem) else parse_record(value, place, values)
            if isinstance(result, Record):
                kept += 1
                counts.kept += 1
                counts.steps += len(result.labels)
                counts.positive += sum(result.labels)
                yield result
            else:
                counts.dropped[result[0].reason] += 1
                totals.update(problem.reason for problem in result)
                first += result[: SHOWN - len(first)]
    if skip_bad and kept:
        first, totals = [], Counter()
    if broken or first:
        raise BadRecords(_report(broken, first, totals, read, kept))


def _report(broken: list[Problem], first: list[Problem], totals: Counter[str], read: int, kept: int) -> str:
    heads = [f"{read - kept} of {read} records cannot be used"] if first else []
    heads += [f"{len(broken)} {'file' if len(broken) == 1 else 'files'} cannot be read"] if broken else []
    totals = totals + Counter(problem.reason for problem in broken)
    shown = (broken + first)[:SHOWN]
    lines = [", and ".join(heads) + ":", *(f"  {problem}" for problem in shown)]
    if more := totals.total() - len(shown):
        lines.append(f"  and {more} more problems")
    lines.append("By reason: " + ", ".join(f"{reason} {n}" for reason, n in totals.most_common()))
    if not kept:
        lines.append("No usable record is left.")
    elif first:
        lines.append("Repair them, or set `skip_bad_records: true` to drop and count these records.")
    return "\n".join(lines)


# ---- validation


def label_values(reward_tokens: Sequence[str]) -> dict[object, float]:
    """What each label that may be written stands for: the two reward tokens, and true/false, 1/0.

    The reward tokens come first: where they contradict the numbers ("0" as the positive one), only they
    count. Other strings ("1", "true") are a sign that data and `reward_tokens` do not belong together.
    """
    if isinstance(reward_tokens, str) or len(reward_tokens) != 2 or reward_tokens[0] == reward_tokens[1]:
        raise ValueError(f"reward_tokens {reward_tokens!r} are not two different tokens; give two")
    positive, negative = reward_tokens
    values: dict[object, float] = {positive: 1.0, negative: 0.0}
    if positive not in ("0", "false") and negative not in ("1", "true"):
        values |= {1: 1.0, 0: 0.0}  # and with them true, false, 1.0 and 0.0, which are equal to these
    return values


def parse_record(value: object, place: str, values: Mapping[object, float]) -> Record | list[Problem]:
    """The record that a JSON value is, or all that is wrong with it. `values` is from `label_values`."""
    if not isinstance(value, dict):
        detail = f"it is {TYPE_NAMES[type(value)]}"
        return [Problem(place, shorten(value), "not an object", detail, f"write {{...}} with {FORM}")]
    found: list[Problem] = []

    def bad(shown: object, reason: str, detail: str, remedy: str) -> None:
        found.append(Problem(place, shorten(shown), reason, detail, remedy))

    missing = [key for key in REQUIRED if key not in value]
    if missing and "response" in value and "sort" in value:
        detail = f"preferences have {PREFERENCE}"
        bad(list(value), "preference record", detail, f"process rewards have {FORM}")
        return found
    if missing:
        bad(list(value), "missing key", f"no {', '.join(missing)}", f"a record has {FORM}")
    src, tgt = _dialogue(value, bad)
    steps = _steps(value, bad)
    labels = _labels(value, values, bad)
    if steps and labels and len(steps) != len(labels):
        detail = f"responses: {len(steps)}, labels: {len(labels)}"
        bad(value["labels"], "labels and responses differ in length", detail, "give each step one label")
    texts = " ".join(src + tgt + steps)
    if not texts.isascii():
        try:
            texts.encode()
        except UnicodeEncodeError as error:
            half = texts[max(0, error.start - 20) : error.start + 20]
            bad(half, "lone surrogate", "half of a character", "write the whole character")
    return found or Record(src, tgt, steps, labels, place)


def _texts(key: str, value: object, bad: Bad) -> tuple[str, ...] | None:
    """The strings of a list; None, with the problem told, if it is something else."""
    if not isinstance(value, list):
        bad(value, "wrong type", f"{key} is {TYPE_NAMES[type(value)]}", f"write {key} as a list of strings")
        return None
    for index, item in enumerate(value):
        if not isinstance(item, str):
            detail = f"{key}[{index}] is {TYPE_NAMES[type(item)]}"
            bad(item, "wrong type", detail, f"write {key} as a list of strings")
            return None
    return tuple(value)


def _dialogue(record: dict, bad: Bad) -> tuple[tuple[str, ...], tuple[str, ...]]:
    asked, answered = record.get("src", []), record.get("tgt")
    answered = [] if answered is None else answered
    src = _texts("src", [asked] if isinstance(asked, str) else asked, bad)
    tgt = _texts("tgt", [answered] if isinstance(answered, str) else answered, bad)
    if src is None or tgt is None or "src" not in record:
        return src or (), tgt or ()
    if len(src) == len(tgt) == 1 and not tgt[0].strip():
        tgt = ()  # "" and [""] are how some tools write that there is none
    if len(src) != len(tgt) + 1:
        detail = f"turns of src: {len(src)}, of tgt: {len(tgt)}"
        remedy = "make src one turn longer than tgt: the responses answer its last turn"
        bad(list(src + tgt), "src and tgt do not fit", detail, remedy)
    elif tgt and not all(turn.strip() for turn in src + tgt):
        bad(list(src + tgt), "blank turn", "a dialogue needs every turn", "leave it out with its answer")
    return src, tgt


def _steps(record: dict, bad: Bad) -> tuple[str, ...]:
    if "responses" not in record:
        return ()
    texts = _texts("responses", record["responses"], bad)
    if texts == ():
        bad([], "no responses", "the list is empty", "give at least one step and its label")
    steps = tuple([text.strip() for text in texts or ()])
    if not all(steps):
        blank = [index for index, step in enumerate(steps) if not step]
        detail = f"responses[{blank[0]}]{_and_more(blank)}"
        bad(texts[blank[0]], "blank step", detail, "drop it together with its label")
    return steps


def _labels(record: dict, values: Mapping[object, float], bad: Bad) -> tuple[float, ...]:
    """The labels as numbers; if one is unknown, as many zeros, for the lengths to be compared."""
    if "labels" not in record:
        return ()
    labels = record["labels"]
    if not isinstance(labels, list):
        bad(labels, "wrong type", f"labels is {TYPE_NAMES[type(labels)]}", "write a list, one label per step")
        return ()
    if not labels:
        bad([], "no labels", "the list is empty", "give each step one label")
    try:
        return tuple([values[label] for label in labels])
    except (KeyError, TypeError):  # TypeError: a list or an object cannot be looked up
        unknown = [i for i, x in enumerate(labels) if isinstance(x, list | dict) or x not in values]
        detail = f"labels[{unknown[0]}]{_and_more(unknown)}"
        allowed = ", ".join(shorten(token) for token in values if isinstance(token, str))
        numbers = ", or true, false, 1, 0" if 1 in values else ""
        remedy = f"write {allowed}{numbers}, or set reward_tokens to the two labels of the data"
        bad(labels[unknown[0]], "unknown label", detail, remedy)
        return (0.0,) * len(labels)


def _and_more(indices: list[int]) -> str:
    return f" and {len(indices) - 1} more" if len(indices) > 1 else ""
