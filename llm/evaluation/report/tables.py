"""Tables for the terminal and for the page. No paddle here."""

from __future__ import annotations

import html
from typing import Any

from llm.core.console import visible
from llm.evaluation.suite import Table


def text_of(table: Table) -> str:
    cells = [[*table.columns], *([_cell(value) for value in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        first, *others = (f"{one:>{width}}" for one, width in zip(row, widths, strict=True))
        lines.append("  ".join([f"{row[0]:<{widths[0]}}", *others]).rstrip())
    return "\n".join([table.title, *(f"  {line}" for line in lines)])


def html_of(table: Table) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = ("".join(f"<td>{html.escape(_cell(value))}</td>" for value in row) for row in table.rows)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<h3>{html.escape(table.title)}</h3>\n<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return (
        f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else visible(str(value))
    )
