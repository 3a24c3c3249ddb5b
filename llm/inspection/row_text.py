"""A packed row as text for a terminal. No paddle here."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from llm.core.console import count_of
from llm.core.rows.answer_payload import ComparedAnswers, JudgedAnswers, NextTokens
from llm.core.rows.payload import Labels, Pairs
from llm.core.rows.row import Row
from llm.inspection.row_runs import (
    FULL,
    NONE,
    SOME,
    Run,
    block_edges,
    draw_mask,
    lengths_alone,
    runs_of,
    solutions_through,
    tree_bounds,
    verdicts,
)

MASK_SIZE = 48
COLUMNS = ("tokens", "positions", "end_row", "target", "weight", "labels", "solutions", "follows")
MARKS: dict[type, tuple[str, str]] = {
    Labels: ("label", "labels"),
    Pairs: ("pair", "pairs"),
    NextTokens: ("token to learn", "tokens to learn"),
    ComparedAnswers: ("pair", "pairs"),
    JudgedAnswers: ("labelled answer", "labelled answers"),
}
NARROWEST_TEXT = 40  # deep branches are indented no further than leaves this much


def visible(text: bytes) -> str:
    """Line breaks, bytes that are not a character, other unprintable characters, and blanks at an end or next to
    another."""
    characters = text.decode("utf-8", "surrogateescape")
    characters = "".join(c if c.isprintable() or c == "\n" else _code(ord(c)) for c in characters)
    return re.sub(r"^ | $|(?<= ) ", "␣", characters).replace("\n", "↵")


def _code(number: int) -> str:
    if 0xDC80 <= number <= 0xDCFF:  # where surrogateescape puts a lone byte
        return f"<0x{number - 0xDC00:02X}>"
    return f"<0x{number:02X}>" if number < 0x80 else f"<U+{number:04X}>"


def head_lines(row: Row, number: int, rows: str, max_seq_len: int) -> list[str]:
    length, alone = len(row), int(lengths_alone(row).sum())
    solutions = f"{count_of(row.solution_count, 'solution')} in {count_of(len(tree_bounds(row)), 'tree')}"
    payload = row.payload
    marks = len(payload.chosen) if isinstance(payload, Pairs | ComparedAnswers) else len(payload.at)
    marks = len(payload.labels) if isinstance(payload, JudgedAnswers) else marks
    judged = count_of(marks, *MARKS[type(payload)])
    labels = f"{judged} at {count_of(len(payload.scored), 'scored position')}"
    return [
        f"row {number} of {rows}: {count_of(length, 'token')} and {max_seq_len - length:,} of padding make max_seq_len "
        f"{max_seq_len:,}",
        f"{solutions}; {labels}",
        f"each solution alone: {count_of(alone, 'token')}, {alone / length:.1f} times as many",
    ]


def tree_lines(row: Row, pieces: list[bytes], width: int) -> Iterator[str]:
    """Every tree with its runs of tokens: a line of numbers, and the text indented by the branchings above it."""
    alone, judged = lengths_alone(row), verdicts(row)
    sizes = [max(len(title), size) for title, size in zip(COLUMNS, _column_sizes(row), strict=True)]
    for number, (start, end) in enumerate(tree_bounds(row), 1):
        inside = solutions_through(row, start)
        plural = "s" if len(inside) > 1 else ""
        title = f"── tree {number}: {count_of(end - start, 'token')}, solution{plural} {_span(inside + 1)}, "
        yield "\n" + f"{title}{alone[inside].sum():,} tokens alone ".ljust(width, "─")
        yield _columns(COLUMNS, sizes)
        for run in runs_of(row, start, end):
            yield _columns(_numbers(row, run, judged), sizes)
            indent = " " * min(2 * run.level + 2, max(width - NARROWEST_TEXT, 0))
            text = visible(b"".join(pieces[run.start : run.end]))
            yield textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _column_sizes(row: Row) -> list[int]:
    token, solution = len(str(len(row))), len(str(row.solution_count))
    return [2 * token + 1, 2 * token + 1, token, 4, 4, solution, 2 * solution + 1, token]


def _columns(values: Sequence[str], sizes: list[int]) -> str:
    return "  ".join(f"{value:>{size}}" for value, size in zip(values, sizes, strict=True)).rstrip()


def _numbers(row: Row, run: Run, judged: dict[int, tuple[str, str, str]]) -> list[str]:
    """The cells under COLUMNS. Scored is the last token of a run, if any."""
    scored = judged.get(run.end - 1, ("", "", ""))
    branches = run.follows is not None and run.follows != run.start - 1
    return [
        _span(np.arange(run.start, run.end)),
        _span(row.positions[run.start : run.end]),
        str(row.end_row[run.start]),
        *scored,
        _span(solutions_through(row, run.start) + 1),
        str(run.follows) if branches else "",
    ]


def _span(numbers: np.ndarray) -> str:
    first, last = int(numbers[0]), int(numbers[-1])
    return str(first) if first == last else f"{first}-{last}"


def mask_lines(end_row: np.ndarray, width: int) -> Iterator[str]:
    """The mask with the first token of every line of it, and what its signs mean."""
    digits = len(str(len(end_row)))
    most = max(min(MASK_SIZE, width - digits - 1), 1)
    edges = block_edges(len(end_row), most)
    size = int(edges[1])
    some = "" if size == 1 else f"{SOME} some of {size} x {size} pairs do, "
    yield f"\nmask, a line's tokens to a column's: {FULL} attend, {some}{NONE} do not"
    for first, line in zip(edges[:-1].tolist(), draw_mask(end_row, most), strict=True):
        yield f"{first:>{digits}} {line}"


def token_lines(row: Row, pieces: list[bytes]) -> Iterator[str]:
    """One line per token."""
    shown = [visible(piece) for piece in pieces]
    longest = max(len("piece"), *map(len, shown))
    score = {place: f"{target:>6}  {weight:>6}" for place, (target, weight, _) in verdicts(row).items()}
    yield f"\n{'token':>6}  {'id':>6}  {'piece':<{longest}}  {'position':>8}  {'end_row':>7}  target  weight"
    for i, piece in enumerate(shown):
        line = f"{i:>6}  {row.ids[i]:>6}  {piece:<{longest}}  {row.positions[i]:>8}  {row.end_row[i]:>7}"
        yield f"{line}  {score.get(i, '')}".rstrip()
