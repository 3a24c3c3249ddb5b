"""Records that training refuses, or drops with skip_bad_records: grouped by the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llm.core.console import count_of
from llm.core.records.problem import Problem
from llm.core.records.reward_records import MISSING_KEY, OF_OTHER_FORM
from llm.data.check.finding import Examples, Finding

if TYPE_CHECKING:
    from llm.data.check.other_formats import OtherFormats


class BadRecords:
    def __init__(self) -> None:
        self.count = 0  # records
        self.by_reason: dict[str, Examples] = {}  # a record has as many as it has problems
        self.files: dict[str, Examples] = {}
        self.other_formats: OtherFormats | None = None  # of the rows that lack a field, if there are any

    def add(self, problems: list[Problem], row: object) -> None:
        self.count += 1
        if problems[0].reason == MISSING_KEY and self._is_of_other_format(row, problems[0].place):
            return
        for problem in problems:
            self.by_reason.setdefault(problem.reason, Examples()).add(str(problem))

    def _is_of_other_format(self, row: object, place: str) -> bool:
        if self.other_formats is None:
            from llm.data.check.other_formats import OtherFormats  # clean data does without them

            self.other_formats = OtherFormats()
        return self.other_formats.add(row, place)

    def add_file(self, problem: Problem) -> None:
        self.files.setdefault(problem.reason, Examples()).add(str(problem))

    @property
    def is_fatal(self) -> bool:
        """Whether skip_bad_records does not help."""
        return bool(self.files or set(OF_OTHER_FORM) & set(self.by_reason))

    def findings(self) -> Iterator[Finding]:
        for reason, seen in self.files.items():
            text = f"{count_of(seen.count, 'file')} that training refuses: {reason}"
            yield from seen.finding("bad file", text, "Repair it or leave it out; skip_bad_records does not skip it.")
        for reason, seen in sorted(self.by_reason.items(), key=lambda item: -item[1].count):
            yield from seen.finding("bad record", f"{count_of(seen.count, 'record')}: {reason}", _advice(reason))
        if self.other_formats:
            yield from self.other_formats.findings()


def _advice(reason: str) -> str:
    if reason in OF_OTHER_FORM:
        return "Training refuses data of two forms, also with skip_bad_records."
    return "Training stops, or drops them with skip_bad_records."
