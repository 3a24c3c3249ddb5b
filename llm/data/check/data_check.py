"""One pass over a data set: what training would refuse or drop, and what is measured of the other records."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from llm.core.collector import collector_paused
from llm.core.console import count_of
from llm.core.records.comparisons import COMPARISON, Comparison
from llm.core.records.dialogues import DIALOGUE, Dialogue
from llm.core.records.json_stream import no_progress, read_values
from llm.core.records.judged_answers import JUDGED
from llm.core.records.problem import Problem
from llm.core.records.records import ReadCounts
from llm.core.records.reward_records import LABELLED, PREFERENCES, Preference, Record, forms_of
from llm.core.text.encoding import Pair
from llm.core.text.encoding import Sequence as Encoding
from llm.core.text.parallel_encoding import encode_all
from llm.core.text.reading import Reading
from llm.data.check.answers import Comparisons, Dialogues
from llm.data.check.bad_records import BadRecords
from llm.data.check.duplicates import CONTRADICTION, Duplicates
from llm.data.check.finding import Finding, Measure
from llm.data.check.labels import Labels
from llm.data.check.overlap import HeldOutQuestions, Overlap
from llm.data.check.pairs import Pairs
from llm.data.check.steps import Steps
from llm.data.check.tokens import Encoded, PartsEncoder, Tokens, encoded
from llm.data.written_records import NOWHERE

Some = Record | Preference | Dialogue | Comparison
LEFT_OUT, KEPT = NOWHERE, 1


@dataclass
class DataCheck:
    """What was found, and which records are the clean part."""

    form: str
    read: int = 0
    bad: BadRecords = field(default_factory=BadRecords)
    measures: list[Measure] = field(default_factory=list)
    destinations: bytearray = field(default_factory=bytearray)  # KEPT or LEFT_OUT for every record
    left_out: Counter[str] = field(default_factory=Counter)  # by reason, from the clean part
    files: list[Path] = field(default_factory=list)
    counts: ReadCounts = field(default_factory=ReadCounts)  # as in training
    encoded: list[Encoding | Pair] = field(default_factory=list)  # if it is to be kept

    @property
    def usable(self) -> int:
        return self.read - self.bad.count

    def refuses(self, skip_bad_records: bool) -> bool:
        """Whether training would stop at this data."""
        return bool(self.bad.is_fatal or not self.usable or (self.bad.count and not skip_bad_records))

    def findings(self) -> list[Finding]:
        found = list(self.bad.findings())
        if not self.usable:
            found.append(Finding("no record", 0, "no usable record", "Training refuses this data."))
        for measure in self.measures:
            found += measure.findings()
        return found

    def facts(self) -> dict[str, Any]:
        measured = {measure.name: measure.facts() for measure in self.measures}
        return {"form": self.form, "records": self.read, "usable": self.usable, "bad": self.bad.count} | measured

    def lines(self) -> Iterator[str]:
        bad = f", {self.bad.count:,} bad" if self.bad.count else ""
        yield f"{count_of(self.read, self.form)}{bad}"
        if self.usable:
            for measure in self.measures:
                yield from measure.lines()


class Read(NamedTuple):
    """What was read, the record that it is, or all that is wrong with it, and what of the record is learnt."""

    value: object
    record: Some | list[Problem]
    parts: list[Some]


@collector_paused()
def check_data(
    files: list[Path],
    reading: Reading,
    against: Sequence[Path] = (),
    progress: Callable[[int], object] = no_progress,
    processes: int = 1,
    keeps_encoded: bool = False,
) -> DataCheck:
    """Faults of the data are findings, never errors. So many processes encode, if there is a tokenizer."""
    measures = list(_measures_of(reading, against, keeps_encoded))
    check = DataCheck(reading.form, measures=measures, files=files)
    waiting: deque[Read] = deque()  # those that are read and not yet measured
    usable = _usable(check, files, reading, progress, waiting)
    tokens = next((measure for measure in check.measures if isinstance(measure, Tokens)), None)
    for seen in encode_all(usable, tokens.encoder, encoded, processes) if tokens else usable:
        while not _measure(check, waiting.popleft(), seen):
            pass  # bad ones before the record
    for read in waiting:  # and behind the last one
        _measure(check, read, None)
    _leave_out_contradicted(check)
    return check


def _usable(
    check: DataCheck, files: list[Path], reading: Reading, progress: Callable[[int], object], waiting: deque[Read]
) -> Iterator[list[Some]]:
    """What is learnt of the records that can be used; all records go to `waiting`."""
    for path in files:
        for place, value in read_values(path, progress=progress):
            if isinstance(value, Problem) and value.whole_file:
                check.bad.add_file(value)
                continue
            check.read += 1
            check.counts.read += 1
            record = reading.parse(value, place)
            parts = [] if isinstance(record, list) else list(reading.parts(record))
            waiting.append(Read(value, record, parts))
            if parts:
                yield parts


def form_of(files: list[Path]) -> str:
    """By the first record whose fields decide it; the other form is then a fault of the record that has it."""
    for path in files:
        for _, value in read_values(path):
            forms = forms_of(value)
            if len(forms) == 1:
                return forms[0]
    return LABELLED


def _measure(check: DataCheck, read: Read, seen: object) -> bool:
    """Whether the record could be used; `seen` is what encoding it showed, where it is encoded."""
    if isinstance(read.record, list):
        check.bad.add(read.record, read.value)
        check.counts.dropped[read.record[0].reason] += 1
        why = "bad"
    else:
        number = len(check.destinations)
        of_measure = {Labels.name: read.parts[0], Tokens.name: seen}  # the others look at the whole record
        reasons = [measure.add(of_measure.get(measure.name, read.record), number) for measure in check.measures]
        why = next(filter(None, reasons), "")
        check.counts.keep(read.parts[0])
        if isinstance(seen, Encoded):
            check.encoded += seen.found
    check.destinations.append(LEFT_OUT if why else KEPT)
    if why:
        check.left_out[why] += 1
    return not isinstance(read.record, list)


def _measures_of(reading: Reading, against: Sequence[Path], keeps_encoded: bool) -> Iterator[Measure]:
    if reading.form in (DIALOGUE, JUDGED):
        yield Dialogues()
    elif reading.form == COMPARISON:
        yield Comparisons()
    elif reading.form == PREFERENCES:
        yield Pairs()
    else:
        yield Labels()
        yield Steps(reading.placeholder)
    if reading.make_encoder:
        yield Tokens(PartsEncoder(reading.make_encoder(), reading.encode, keeps_encoded))
    yield Duplicates()
    if against:
        yield Overlap(held_out_questions(against, reading))


def held_out_questions(files: Sequence[Path], reading: Reading) -> HeldOutQuestions:
    """Of the records that can be used; the others are another check's business."""
    questions = HeldOutQuestions()
    for path in files:
        for place, value in read_values(path):
            record = reading.parse(value, place)
            if not isinstance(record, list):
                questions.add(record)
    questions.close()
    return questions


def _leave_out_contradicted(check: DataCheck) -> None:
    """The first record with a text is only known to be contradicted when another one has been read."""
    for measure in check.measures:
        if isinstance(measure, Duplicates):
            for number in measure.contradicted.values():
                if check.destinations[number] == KEPT:
                    check.destinations[number] = LEFT_OUT
                    check.left_out[CONTRADICTION] += 1
