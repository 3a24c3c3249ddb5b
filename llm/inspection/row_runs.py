"""A packed row taken apart for a person to look at: its trees, its runs of tokens, its mask as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from llm.core.rows.answer_payload import AnswerTokens, ComparedAnswers, JudgedAnswers, NextTokens
from llm.core.rows.payload import Labels, Pairs
from llm.core.rows.row import Row

FULL, SOME, NONE = "█", "░", "·"


@dataclass(frozen=True)
class Run:
    """Tokens start..end-1: each follows from the one before it, all are seen by the same later tokens, and no step
    ends among them but at the last; of answers, all are learnt alike."""

    start: int
    end: int
    level: int  # branchings above it
    follows: int | None  # the token that the first one follows; None at the start of a tree


def tree_bounds(row: Row) -> list[tuple[int, int]]:
    """A tree starts at position 0."""
    starts = np.flatnonzero(row.positions == 0).tolist()
    return list(zip(starts, [*starts[1:], len(row)], strict=True))


def runs_of(row: Row, start: int, end: int) -> Iterator[Run]:
    """Of the tree start..end-1. Where several branches leave a token, the first comes directly after it and is
    recognised by its smaller end_row, the others by a position that does not follow that of the token before them."""
    positions, end_row, begins = row.positions.tolist(), row.end_row.tolist(), _begins(row)
    path: list[tuple[int, int]] = []  # (index, level) of the tokens that the current one follows, by position
    begin = start
    for i in range(start, end):
        depth = positions[i]
        branches = depth > 0 and (depth != len(path) or end_row[i] != end_row[i - 1])
        if i > begin and (branches or i in begins):
            yield _run(begin, i, path, positions)
            begin = i
        del path[depth:]
        path.append((i, path[-1][1] + branches if path else 0))
    yield _run(begin, end, path, positions)


def _begins(row: Row) -> set[int]:
    """Where a run begins, whatever branches there."""
    if not isinstance(row.payload, AnswerTokens):
        return {place + 1 for place in row.payload.scored.tolist()}
    judged = verdicts(row)
    return {i for i in range(1, len(row)) if judged.get(i) != judged.get(i - 1)}


def _run(start: int, end: int, path: list[tuple[int, int]], positions: list[int]) -> Run:
    depth = positions[start]
    return Run(start, end, path[depth][1], path[depth - 1][0] if depth else None)


def solutions_through(row: Row, index: int) -> np.ndarray:
    """Numbers of the solutions that this token is part of: those with a label at or behind it."""
    places = places_of(row)
    return np.unique(row.payload.solutions[(places >= index) & (places < row.end_row[index])])


def places_of(row: Row) -> np.ndarray:
    """[M] positions of the solutions' labels, of the answers' ends, or of the tokens that are learnt (-1 where one does
    not follow the position that predicts it)."""
    payload = row.payload
    places = payload.scored[payload.at]
    if not isinstance(payload, AnswerTokens):
        return places
    following = {
        place: {int(row.ids[after]): after for after in _after(row, place)} for place in payload.scored.tolist()
    }
    next_ids = payload.next_ids.tolist()
    return np.array(
        [following[place].get(id, -1) for place, id in zip(places.tolist(), next_ids, strict=True)], "int64"
    )


def _after(row: Row, place: int) -> Iterator[int]:
    """The tokens that follow one, the first of each branch."""
    after = place + 1
    while after < row.end_row[place]:
        yield after
        after = int(row.end_row[after])


def lengths_alone(row: Row) -> np.ndarray:
    """Tokens of every solution by itself: it ends at its last placeholder."""
    lengths = np.zeros(row.solution_count, "int64")
    np.maximum.at(lengths, row.payload.solutions, row.positions[places_of(row)] + 1)
    return lengths


def verdicts(row: Row) -> dict[int, tuple[str, str, str]]:
    """{place: (target, weight, how many labels or pairs)}; in pairs the target says how often the answer is chosen and
    rejected."""
    found: dict[int, tuple[str, str, str]] = {}
    payload = row.payload
    if isinstance(payload, AnswerTokens):
        return _verdicts_of_tokens(row, payload)
    for k, place in enumerate(payload.scored.tolist()):
        if isinstance(payload, Pairs):
            chosen, rejected = payload.chosen == k, payload.rejected == k
            target = f"+{chosen.sum()} -{rejected.sum()}"
            weight, count = payload.weights[chosen | rejected].sum(), int(chosen.sum() + rejected.sum())
        else:
            assert isinstance(payload, Labels)
            mine = payload.at == k
            weight, count = payload.weights[mine].sum(), int(mine.sum())
            target = f"{(payload.weights[mine] * payload.targets[mine]).sum() / max(weight, 1e-12):.4g}"
        found[place] = target, f"{weight:.4g}", str(count)
    return found


def _verdicts_of_tokens(row: Row, payload: AnswerTokens) -> dict[int, tuple[str, str, str]]:
    """Of every token that is learnt."""
    of_place: dict[int, list[int]] = {}
    for mark, place in enumerate(places_of(row).tolist()):
        of_place.setdefault(place, []).append(mark)
    found = {}
    for place, marks in of_place.items():
        if isinstance(payload, ComparedAnswers):
            answers = payload.solutions[marks]
            chosen, rejected = np.isin(payload.chosen, answers), np.isin(payload.rejected, answers)
            target, weight = f"+{chosen.sum()} -{rejected.sum()}", payload.weights[chosen | rejected].sum()
        elif isinstance(payload, JudgedAnswers):
            answers = payload.solutions[marks]
            target, weight = f"{payload.labels[answers].mean():.4g}", payload.weights[answers].sum()
        else:
            assert isinstance(payload, NextTokens)
            target, weight = "learnt", payload.weights[marks].sum()
        found[place] = target, f"{weight:.4g}", str(len(marks))
    return found


def draw_mask(end_row: np.ndarray, most: int) -> list[str]:
    """A square of at most most x most characters, each of them the same number of tokens high and wide: whether all,
    some or none of its pairs (row i, column j) attend, j <= i < end_row[j]. Exact for rows of at most `most` tokens."""
    length = len(end_row)
    edges = block_edges(length, most)
    columns = np.arange(length)
    first, last = edges[:-1, None], edges[1:, None]
    attending = np.clip(np.minimum(end_row, last) - np.maximum(columns, first), 0, None)  # rows of a block, by column
    pairs = np.add.reduceat(attending, edges[:-1], axis=1)
    sizes = np.diff(edges)
    cells = np.where(pairs == sizes[:, None] * sizes, FULL, np.where(pairs > 0, SOME, NONE))
    return ["".join(line) for line in cells]


def block_edges(length: int, most: int) -> np.ndarray:
    """Where the blocks of tokens begin, and the length."""
    return np.append(np.arange(0, length, -(-length // most)), length)
