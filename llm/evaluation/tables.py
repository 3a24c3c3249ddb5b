"""Tables for the terminal and for the page. No paddle here."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from llm.core.console import visible
from llm.evaluation.suite import Table

STYLE = """
:root { color-scheme: light dark; --line: #8885; --muted: #777; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; } p { color: var(--muted); overflow-wrap: anywhere; }
"""


def text_of(table: Table) -> str:
    cells = [[*table.columns], *([_cell(value) for value in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        first, *others = (f"{one:>{width}}" for one, width in zip(row, widths, strict=True))
        lines.append("  ".join([f"{row[0]:<{widths[0]}}", *others]).rstrip())
    return "\n".join([table.title, *(f"  {line}" for line in lines)])


def page_of(title: str, notes: Sequence[str], tables: Sequence[Table]) -> str:
    """A page of its own, which needs no network."""
    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(note)}</p>" for note in notes)]
    parts += [html_of(table) for table in tables]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def html_of(table: Table) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = ("".join(f"<td>{html.escape(_cell(value))}</td>" for value in row) for row in table.rows)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<h2>{html.escape(table.title)}</h2>\n<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return (
        f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else visible(str(value))
    )
