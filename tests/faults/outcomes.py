"""What comes of a fault, and the table of how often each came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

NO_EFFECT = "no effect"  # the result is the same
MESSAGE = "message"  # a refusal that names the file, or a damaged checkpoint that is said to be ignored
NOT_DETECTABLE = "not detectable"  # another valid file, of which no checksum is kept
WRONG_MESSAGE = "wrong message"  # that does not name the file, or refuses what should go on
SILENT = "silent"  # another result, without a message
TRACEBACK = "traceback"  # or the end of the process
HANG = "hang"
BAD = (WRONG_MESSAGE, SILENT, TRACEBACK, HANG)
COLUMNS = (MESSAGE, NO_EFFECT, NOT_DETECTABLE, *BAD)
SHOWN = 12  # examples of a test


@dataclass
class Row:
    """Of the table: a test, its outcomes, and how those that are bad are made again."""

    test: str
    outcomes: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, outcome: str, example: str) -> None:
        self.outcomes[outcome] += 1
        if outcome in BAD and len(self.examples) < SHOWN:
            self.examples.append(f"{self.test}, {outcome}: {example}")

    @property
    def bad(self) -> int:
        return sum(self.outcomes[outcome] for outcome in BAD)


def table(rows: Iterable[Row]) -> str:
    """In Markdown."""
    lines = ["| " + " | ".join(("test", "count", *COLUMNS)) + " |", "| --- |" + " ---: |" * (1 + len(COLUMNS))]
    for row in rows:
        counts = (row.outcomes.total(), *(row.outcomes[column] for column in COLUMNS))
        lines.append("| " + " | ".join((row.test, *(f"{count:,}" for count in counts))) + " |")
    return "\n".join(lines)
