"""Random solutions of few tokens, and the labels that a row gives back."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from llm.core.rows.row import Row
from llm.core.text.encoding import Sequence

MAX_SEQ_LEN = 16
quick = settings(max_examples=50)


@st.composite
def solutions_of_few_tokens(draw):
    """Three prompts, three different tokens: solutions begin alike, are parts of one another, or are the same."""
    prompt = draw(st.sampled_from([[7], [7, 8], [9]]))
    rest = draw(st.lists(st.integers(0, 2), min_size=1, max_size=MAX_SEQ_LEN - len(prompt)))
    ids = [*prompt, *rest]
    scored = sorted(draw(st.sets(st.integers(len(prompt), len(ids) - 1))))
    targets = [draw(st.sampled_from([0.0, 1.0, 0.25])) for _ in scored]
    return solution(ids, scored, targets, len(prompt))


SOLUTIONS = st.lists(solutions_of_few_tokens(), max_size=14)


def solution(ids, scored=(), targets=(), prompt_len=1) -> Sequence:
    return Sequence(np.array(ids, "int32"), np.array(scored, "int64"), np.array(targets, "float32"), prompt_len)


def described(solutions) -> Counter:
    return Counter((tuple(s.ids.tolist()), tuple(s.scored.tolist()), tuple(s.labels.tolist())) for s in solutions)


def ancestors(row: Row, token: int) -> list[int]:
    """By the definition of the mask: what the token sees."""
    return [j for j in range(token + 1) if token < row.end_row[j]]


def labels_read_from(row: Row) -> Counter:
    """(ids up to the label, label) of every label, each token's text being what it sees."""
    found = Counter()
    for at, label in zip(row.payload.at, row.payload.labels, strict=True):
        path = ancestors(row, row.payload.scored[at])
        assert row.positions[path].tolist() == list(range(len(path)))
        found[tuple(row.ids[path].tolist()), float(label)] += 1
    return found


def labels_of(solutions) -> Counter:
    return Counter(
        (tuple(s.ids[: place + 1].tolist()), float(target))
        for s in solutions
        for place, target in zip(s.scored, s.labels, strict=True)
    )
