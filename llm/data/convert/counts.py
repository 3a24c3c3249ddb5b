"""What became of the rows, and how it is reported."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from llm.core.console import count_of
from llm.core.records.problem import Problem, excerpt
from llm.core.records.reward_records import Preference, Record
from llm.data.convert.form import Note

SHOWN_PROBLEMS = 20


@dataclass
class Counts:
    """`rows` are those that gave a `written` record, those `dropped` and those `bad`, which contradict their format."""

    rows: int = 0
    written: int = 0
    labels: int = 0
    positive: float = 0.0
    pairs: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # good rows without a record, by reason
    bad: Counter[str] = field(default_factory=Counter)  # by the first reason
    notes: Counter[str] = field(default_factory=Counter)  # what was left out of rows, or changed in them
    examples: dict[str, str] = field(default_factory=dict)  # the first of each
    problems: list[Problem] = field(default_factory=list)  # the first of the bad rows
    broken: list[Problem] = field(default_factory=list)  # files

    def keep(self, record: Record | Preference | None) -> None:
        self.written += 1
        if isinstance(record, Record):
            labels = [label for label in record.labels if label is not None]
            self.labels += len(labels)
            self.positive += sum(labels)
        elif record is not None:
            self.pairs += 1

    def drop(self, reason: str, rows: int, place: str, value: object) -> None:
        self.dropped[reason] += rows
        self._show(reason, place, value)

    def note(self, note: Note, place: str) -> None:
        self.notes[note.what] += note.number
        self._show(note.what, place, note.value)

    def reject(self, problems: list[Problem], rows: int) -> None:
        self.bad[problems[0].reason] += rows
        self.problems += problems[: SHOWN_PROBLEMS - len(self.problems)]
        self.examples.setdefault(problems[0].reason, str(problems[0]))

    def _show(self, what: str, place: str, value: object) -> None:
        if what not in self.examples:
            self.examples[what] = place if value is None else f"{place}: {excerpt(value)}"


def report(counts: Counts, output: Path, rejects: Path | None) -> list[str]:
    kind = f"{count_of(counts.pairs, 'pair')} of answers"
    if counts.labels:
        kind = f"{count_of(counts.labels, 'label')}, {counts.positive / counts.labels:.1%} of them +"
    elif not counts.pairs:
        kind = "nothing in them is judged"
    rows, records = count_of(counts.rows, "row"), count_of(counts.written, "record")
    lines = [
        f"{output}: {rows} read, {records} written; {kind}",
        *_lines(counts.dropped, "{} dropped: {}", counts),
        *_lines(counts.bad, "{} that cannot be converted: {}", counts),
    ]
    lines += [f"  {what}: {number:,}, such as {counts.examples[what]}" for what, number in counts.notes.items()]
    if rejects is not None:
        lines.append(f"{rejects}: {count_of(counts.bad.total(), 'row')} that cannot be converted")
    return lines


def _lines(reasons: Counter[str], words: str, counts: Counts) -> list[str]:
    return [
        f"  {words.format(count_of(number, 'row'), reason)}, such as {counts.examples[reason]}"
        for reason, number in reasons.items()
    ]


def refusal(counts: Counts, skip_bad: bool) -> str:
    """Why nothing is written; empty if there is no reason."""
    bad = 0 if skip_bad else counts.bad.total()
    if counts.broken or bad:
        heads = [f"{bad:,} of {count_of(counts.rows, 'row')} cannot be converted"] if bad else []
        heads += [f"{count_of(len(counts.broken), 'file')} cannot be read"] if counts.broken else []
        shown = (counts.broken + (counts.problems if bad else []))[:SHOWN_PROBLEMS]
        lines = [f"{', and '.join(heads)}; nothing is written:", *(f"  {problem}" for problem in shown)]
        if bad:
            lines.append("By reason: " + ", ".join(f"{reason} {n:,}" for reason, n in counts.bad.most_common()))
            lines.append(
                "Repair them, move them to a file with --rejects FILE, or leave them out with --skip_bad_records."
            )
        return "\n".join(lines)
    if not counts.written:
        lines = [f"none of {count_of(counts.rows, 'row')} gives a record; nothing is written:"]
        lines += _lines(counts.dropped, "{} dropped: {}", counts) + _lines(counts.bad, "{}: {}", counts)
        return "\n".join(lines)
    return ""
