"""What is wrong with a value of a data file, and how it is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass

from llm.core.console import visible


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a value of a file cannot be used; `reason` is what problems are counted by, `detail` its particulars.

    `whole_file` marks a problem that is not of one record (a broken gzip stream): it can be neither skipped nor
    counted in records.
    """

    place: str
    value: str
    reason: str
    detail: str
    remedy: str
    whole_file: bool = False

    def __str__(self) -> str:
        value = f"{self.value} - " if self.value else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.place}: {value}{self.reason}{detail}; {self.remedy}"


def excerpt(value: object, longest: int = 60) -> str:
    """`value` as JSON that fits into a line of a report, and that every terminal and log can print."""
    if isinstance(value, str):
        value = value[: longest + 1]
    elif isinstance(value, list):
        value = [item[: longest + 1] if isinstance(item, str) else item for item in value[: longest + 1]]
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:  # it is nested as deeply as could be read
        text = "…"
    if len(text) > longest:
        text = text[:longest] + "…"
    return visible(text)
