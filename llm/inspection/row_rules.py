"""The rules of a packed row, checked in one pass over it."""

from __future__ import annotations

import numpy as np

from llm.core.console import listed
from llm.core.rows.answer_payload import AnswerTokens, ComparedAnswers, JudgedAnswers, NextTokens
from llm.core.rows.payload import Labels, Pairs
from llm.core.rows.row import Row
from llm.inspection.row_runs import places_of


def broken_rules(row: Row, placeholder: int | None) -> list[str]:
    """What every row has to fulfil and this one does not; empty if all is well. `placeholder` None: rows of answers."""
    length, index = len(row), np.arange(len(row))
    if broken := np.flatnonzero((row.end_row <= index) | (row.end_row > length)).tolist():
        return [f"end_row is not between index + 1 and {length} at {listed(broken)}"]
    if broken := [i for i in row.payload.scored.tolist() if not 0 <= i < length]:
        return [f"scored positions outside the row: {listed(broken)}"]
    found, scored = [], row.payload.scored
    changes = np.bincount(row.end_row, minlength=length + 1)[:length]  # columns that are seen no longer, by row
    seen = index + 1 - np.cumsum(changes)
    if broken := np.flatnonzero(row.positions != seen - 1).tolist():
        found.append(f"position is not the number of tokens seen before it at {listed(broken)}")
    if broken := _crossing(row.end_row):
        found.append(f"end_row reaches beyond the end_row of a token that it follows at {listed(broken)}")
    if placeholder is not None and (broken := scored[row.ids[scored] != placeholder].tolist()):
        found.append(f"a token other than the placeholder ({placeholder}) is scored at {listed(broken)}")
    return found + _broken_labels(row)


def _crossing(end_row: np.ndarray) -> list[int]:
    """Tokens whose descendants are not all descendants of what they follow."""
    broken: list[int] = []
    ends: list[int] = []
    for i, end in enumerate(end_row.tolist()):
        while ends and ends[-1] <= i:
            ends.pop()
        if ends and end > ends[-1]:
            broken.append(i)
        ends.append(end)
    return broken


def _broken_labels(row: Row) -> list[str]:
    found, payload, places = [], row.payload, places_of(row)
    if unlabelled := set(range(row.solution_count)) - set(payload.solutions.tolist()):
        return [f"no label of the solutions {listed(sorted(unlabelled))}"]
    count = np.bincount(payload.at, minlength=len(payload.scored))
    if broken := payload.scored[count == 0].tolist():
        found.append(f"scored without a label at {listed(broken)}")
    if isinstance(payload, Pairs):
        if broken := np.unique(payload.scored[payload.chosen[payload.chosen == payload.rejected]]).tolist():
            found.append(f"an answer is compared with itself at {listed(broken)}")
    elif isinstance(payload, AnswerTokens):
        if broken := payload.scored[payload.at[places < 0]].tolist():
            return [*found, f"the token to learn does not follow the position that predicts it, {listed(broken)}"]
        found += _broken_answers(payload, places)
    elif isinstance(payload, Labels):
        right = (payload.labels >= 0) & (payload.labels <= 1) & (payload.weights >= 0)
        if broken := np.unique(places[~right]).tolist():
            found.append(f"label outside 0 to 1 or weight below 0 at {listed(broken)}")
    last = np.zeros(row.solution_count, "int64")
    np.maximum.at(last, payload.solutions, places)
    if broken := np.unique(places[row.end_row[places] <= last[payload.solutions]]).tolist():
        found.append(f"a later step of the same solution does not see the scored position at {listed(broken)}")
    return found


def _broken_answers(payload: AnswerTokens, places: np.ndarray) -> list[str]:
    if isinstance(payload, ComparedAnswers):
        same = np.isin(payload.solutions, payload.chosen[payload.chosen == payload.rejected])
        broken = np.unique(places[same]).tolist()
        return [f"an answer is compared with itself at {listed(broken)}"] if broken else []
    if isinstance(payload, JudgedAnswers):
        right = (payload.labels >= 0) & (payload.labels <= 1) & (payload.weights > 0)
        broken = np.unique(places[~right[payload.solutions]]).tolist()
        return [f"label outside 0 to 1 or weight not above 0 at {listed(broken)}"] if broken else []
    assert isinstance(payload, NextTokens)
    broken = np.unique(places[payload.weights <= 0]).tolist()
    return [f"learnt with a weight that is not above 0 at {listed(broken)}"] if broken else []
