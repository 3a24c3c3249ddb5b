"""What a benchmark says: progress on stderr, tables on stdout, one JSON object last."""

from __future__ import annotations

import json
import sys

# One line per column: {key of the rows: (heading, format)}. A value that is None is shown as a dash.
Columns = dict[str, tuple[str, str]]
WHOLE, ONE, TWO, SHARE, TIMES, TEXT = "{:,.0f}", "{:,.1f}", "{:,.2f}", "{:.1%}", "{:.2f} x", "{}"


def table(columns: Columns, rows: list[dict]) -> str:
    """Texts are aligned to the left, numbers to the right."""
    lines = [[heading for heading, _ in columns.values()]]
    for row in rows:
        lines.append(["-" if row[key] is None else form.format(row[key]) for key, (_, form) in columns.items()])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = ["<" if form == TEXT else ">" for _, form in columns.values()]
    return "\n".join(
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, aligned, widths, strict=True)).rstrip()
        for line in lines
    )


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def show(*texts: str, outcome: dict) -> None:
    """Paragraphs, then the outcome as the last line."""
    print("\n\n".join(texts), end="\n\n")
    print(json.dumps(outcome), flush=True)


def describe(settings: dict[str, str]) -> str:
    """What this project set for the CPU, as its training says it."""
    chosen = " ".join(f"{name}={value}" for name, value in settings.items())
    return f"threads: {chosen or 'as the environment has them'}"


def megabytes(size: int | None) -> float | None:
    return None if size is None else size / 1e6
