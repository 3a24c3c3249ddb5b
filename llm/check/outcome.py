"""What a check says: on the screen, to machines, as a page; and the clean part of the data as a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from llm.check.page import page
from llm.check.section import Section
from llm.core.console import count_of
from llm.core.files import write_text
from llm.core.paths import find_files
from llm.data.check.data_check import KEPT, DataCheck
from llm.data.check.finding import Finding
from llm.data.output import check_outputs
from llm.data.written_records import copy_records, stamps


@dataclass(frozen=True)
class CheckArgument:
    against: list[str] | None = field(default=None, metadata={"help": "Held-out data whose questions are looked for."})
    fix: str | None = field(default=None, metadata={"help": "File for the records without findings."})
    html: str | None = field(default=None, metadata={"help": "File for a page with the distributions."})
    json: bool = field(default=False, metadata={"help": "Print one JSON object."})
    overwrite: bool = field(default=False, metadata={"help": "Replace files that exist."})


class Paths(NamedTuple):
    data: list[Path]
    against: list[Path]
    read_at: list[tuple[int, int]]  # stamps of the data before it is read


@dataclass(frozen=True)
class Outcome:
    asked: CheckArgument
    paths: Paths
    sections: list[Section]
    data: DataCheck | None  # of the data that --fix writes the clean part of

    @property
    def findings(self) -> list[Finding]:
        return [finding for section in self.sections for finding in section.findings]


def check_paths(asked: CheckArgument, data: list[str], others: Sequence[Path] = ()) -> Paths:
    """ValueError with all that is wrong with them, before anything is read. `others` are read, too."""
    problems, found = [], []
    for paths in (data, asked.against or []):
        try:
            found.append(find_files(paths) if paths else [])
        except ValueError as error:
            problems.append(str(error))
    inputs = [*others, *(path for files in found for path in files)]
    try:
        check_outputs([Path(path) for path in (asked.fix, asked.html) if path], inputs, asked.overwrite)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    files, against = found
    return Paths(files, against, stamps(files))


def screen(outcome: Outcome) -> Iterator[str]:
    several = len(outcome.sections) > 1
    for section in outcome.sections:
        if several:
            yield f"{section.name}:"
        yield from (f"  {line}" if several else line for line in section.lines)
    findings = [(section.name, finding) for section in outcome.sections for finding in section.findings]
    for number, (name, finding) in enumerate(findings, 1):
        yield f"\n{number}. {f'{name}: ' if several else ''}{finding.text}"
        yield from (f"   {example}" for example in finding.examples)
        if finding.examples and (more := finding.count - len(finding.examples)):
            yield f"   and {more:,} more"
        if finding.advice:
            yield f"   {finding.advice}"
    yield f"\n{count_of(len(outcome.findings), 'finding') if outcome.findings else 'clean'}"


def as_json(outcome: Outcome) -> dict[str, Any]:
    findings = [{"in": section.name, **asdict(one)} for section in outcome.sections for one in section.findings]
    return {"clean": not findings, "findings": findings} | {part.name: part.facts for part in outcome.sections}


def write_outputs(outcome: Outcome) -> Iterator[str]:
    """The files that are asked for; lines that say so."""
    asked, data = outcome.asked, outcome.data
    if asked.html:
        title = f"Check of {', '.join(path.name for path in outcome.paths.data)}"
        Path(asked.html).absolute().parent.mkdir(parents=True, exist_ok=True)
        write_text(Path(asked.html), page(title, outcome.sections))
        yield f"page: {asked.html}"
    if asked.fix:
        if data is None or KEPT not in data.destinations:
            raise ValueError(f"no record is without a finding; {asked.fix} is not written.")
        copy_records(outcome.paths.data, outcome.paths.read_at, bytes(data.destinations), {KEPT: Path(asked.fix)})
        left_out = "".join(f"; {number:,} left out: {reason}" for reason, number in data.left_out.most_common())
        yield f"{asked.fix}: {data.destinations.count(KEPT):,} of {count_of(data.read, 'record')}{left_out}"
