"""What a check finds, in one form for the screen, for machines and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

EXAMPLES = 5  # shown of each finding; the others are counted


@dataclass(frozen=True)
class Finding:
    kind: str  # for machines; does not change with the numbers
    count: int
    text: str
    advice: str
    examples: tuple[str, ...] = ()


@dataclass
class Examples:
    """How often something was seen, and the first times."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        self.count += 1
        if len(self.first) < EXAMPLES:
            self.first.append(example)

    def finding(self, kind: str, text: str, advice: str) -> Iterator[Finding]:
        """Nothing, if it was never seen."""
        if self.count:
            yield Finding(kind, self.count, text, advice, tuple(self.first))


@dataclass(frozen=True)
class Chart:
    """Bars, each with its label and what is said of it."""

    title: str
    bars: Sequence[tuple[str, float, str]]
    is_share: bool = False  # a bar of 1 is a full one


class Measure(Protocol):
    """One thing that is measured of all records; `add` gets a record, or what encoding it showed, and returns why
    training would not use the record, or why it should not, or ""."""

    name: str

    def add(self, record: Any, number: int) -> str: ...

    def lines(self) -> Iterator[str]: ...

    def facts(self) -> dict[str, Any]: ...

    def charts(self) -> Iterator[Chart]: ...

    def findings(self) -> Iterator[Finding]: ...
