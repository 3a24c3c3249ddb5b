"""Why what a file has is not read: problems of whole files and of single values."""

from __future__ import annotations

from llm.core.records.problem import Problem, excerpt


def broken_file(name: str, reason: str, detail: str, remedy: str) -> Problem:
    return Problem(name, "", reason, detail, remedy, whole_file=True)


def cut_short(name: str, count: int, error: Exception) -> Problem:
    """Of a file of which `count` records could be read."""
    why = getattr(error, "strerror", None) or " ".join(str(error).split())
    return broken_file(name, "file cannot be read", f"after {count} records: {why}", "fetch or write it again")


def unreadable(place: str, text: str, at: int, detail: str, reason: str = "unreadable JSON") -> Problem:
    return Problem(place, _around(text, at), reason, detail, "repair it, or write the file again")


def no_utf8(place: str, text: str, at: int, detail: str) -> Problem:
    return Problem(place, _around(text, at), "invalid UTF-8", detail, "save the file as UTF-8")


def too_long(place: str, longest: int) -> Problem:
    return Problem(place, "", "record too long", f"more than {longest:,} characters", "split or repair it")


def _around(text: str, at: int) -> str:
    return excerpt(text[max(0, at - 20) : at + 20])
