"""Encoded solutions -> trees in which shared beginnings of solutions are written once -> rows.

Solutions of a question share the question, and often their first steps. Written depth first, a tree's branches are
consecutive, and all that follows from a token comes directly after it:

    solutions   A B C ки / A B D ки / A E ки        a tree of 7 tokens for 11
    ids         A B C ки D ки E ки
    positions   0 1 2 3  2 3  1 2                   depth
    end_row     8 6 4 4  6 6  8 8                   where what follows from the token ends

Token i may attend to token j where `j <= i < end_row[j]`: to itself and to what it follows from, never to a sibling
branch. So every token computes what it would in its own solution, and a position that several solutions label is
computed once for all of them. Loss and gradients are those of the separate solutions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import cast

import numpy as np

from llm.core.text.encoding import Pair, Sequence

WORTH_REPEATING = 4  # a tree is split to fill a row if the part has so many times the tokens that are repeated for it


@dataclass(frozen=True, slots=True)
class Link:
    """Two solutions of a tree that are compared, by their numbers in it."""

    chosen: int
    rejected: int
    margin: float
    weight: float
    place: str


@dataclass(frozen=True, slots=True)
class Tree:
    """Solutions in an order in which equal beginnings are neighbours."""

    solutions: list[Sequence]
    shared: list[int]  # tokens that each has in common with the one before it; 0 for the first
    size: int  # tokens of all together
    links: list[Link] = field(default_factory=list)  # between all of the solutions, or none

    def __len__(self) -> int:
        return self.size


def grow_trees(
    examples: Iterable[Sequence] | Iterable[Pair], max_seq_len: int, prefix_sharing: bool, window: int | None = None
) -> Iterator[Tree]:
    """Trees of at most max_seq_len tokens. Solutions of the same prompt among `window` of them (None: all) share what
    they have in common; without prefix_sharing every solution is a tree of its own, in the order of the data. The two
    answers of a pair always share a tree."""
    if not prefix_sharing:
        yield from map(lone_tree, examples)
        return
    rest: Iterator[Sequence | Pair] = iter(examples)
    while some := list(islice(rest, window)):
        groups: dict[bytes, list[Sequence | Pair]] = {}
        for example in some:
            groups.setdefault(_prompt_of(example), []).append(example)
        for group in groups.values():
            if isinstance(group[0], Pair):
                yield from _pair_trees(cast(list[Pair], group), max_seq_len)
            else:
                yield from _divide(_merge(cast(list[Sequence], group)), max_seq_len)


def _prompt_of(example: Sequence | Pair) -> bytes:
    solution = example.chosen if isinstance(example, Pair) else example
    return solution.ids[: solution.prompt_len].tobytes()


def lone_tree(example: Sequence | Pair) -> Tree:
    if isinstance(example, Pair):
        return _link([example])
    return Tree([example], [0], len(example))


def _pair_trees(pairs: list[Pair], max_seq_len: int) -> Iterator[Tree]:
    """As many pairs to a tree as fit. What a solution adds to a tree is what it does not share with its neighbours in
    the order of bytes."""
    part: list[Pair] = []
    inside: list[tuple[bytes, Sequence]] = []
    size = 0
    for pair in pairs:
        added = _insert(inside, pair.chosen) + _insert(inside, pair.rejected)
        if part and size + added > max_seq_len:
            yield _link(part)
            part, inside, size = [], [], 0
            added = _insert(inside, pair.chosen) + _insert(inside, pair.rejected)
        part.append(pair)
        size += added
    yield _link(part)


def _insert(inside: list[tuple[bytes, Sequence]], solution: Sequence) -> int:
    key = solution.ids.tobytes()
    place = bisect_left(inside, key, key=itemgetter(0))
    neighbours = inside[max(place - 1, 0) : place + 1]
    inside.insert(place, (key, solution))
    return len(solution) - max((_common(solution.ids, other.ids) for _, other in neighbours), default=0)


def _link(pairs: list[Pair]) -> Tree:
    """The tree of both answers of all pairs, each answer once."""
    answers = {answer.ids.tobytes(): answer for pair in pairs for answer in (pair.chosen, pair.rejected)}
    tree = _merge(list(answers.values()))
    number = {answer.ids.tobytes(): n for n, answer in enumerate(tree.solutions)}
    links = [
        Link(
            number[pair.chosen.ids.tobytes()],
            number[pair.rejected.ids.tobytes()],
            pair.margin,
            pair.weight,
            pair.place,
        )
        for pair in pairs
    ]
    return Tree(tree.solutions, tree.shared, tree.size, links)


def _merge(group: list[Sequence]) -> Tree:
    """In the order of their bytes, solutions that begin alike are neighbours."""
    solutions = sorted(group, key=lambda solution: solution.ids.tobytes())
    shared = [0] + [_common(a.ids, b.ids) for a, b in zip(solutions, solutions[1:], strict=False)]
    return Tree(solutions, shared, sum(map(len, solutions)) - sum(shared))


def _common(a: np.ndarray, b: np.ndarray) -> int:
    """How many tokens both begin with."""
    length = min(len(a), len(b))
    differs = np.flatnonzero(a[:length] != b[:length])
    return int(differs[0]) if len(differs) else length


def _divide(tree: Tree, max_seq_len: int) -> Iterator[Tree]:
    """Cut between neighbours so that every part fits into a row and the least is repeated: a part writes again what
    its first solution shares with the one before it.

    cost[j] is the least that is repeated if a part ends before solution j. The parts that may end there begin at
    solutions first..j-1, `first` only rising with j, so the best of them is the head of a queue of rising costs.
    """
    if len(tree) <= max_seq_len:
        yield tree
        return
    count = len(tree.solutions)
    new_before = [0, *_sizes(tree).tolist()]
    cost = [0] * (count + 1)
    begin_of = [0] * (count + 1)
    candidates: deque[tuple[int, int]] = deque()  # (cost, beginning) of parts
    for end in range(1, count + 1):
        start = end - 1
        candidate = cost[start] + tree.shared[start]
        while candidates and candidates[-1][0] > candidate:
            candidates.pop()
        candidates.append((candidate, start))
        while _part_size(tree, new_before, candidates[0][1], end) > max_seq_len:
            candidates.popleft()
        cost[end], begin_of[end] = candidates[0]
    ends = [count]
    while begin_of[ends[-1]]:
        ends.append(begin_of[ends[-1]])
    begin = 0
    for end in reversed(ends):
        yield _part(tree, begin, end, _part_size(tree, new_before, begin, end))
        begin = end


def split_tree(tree: Tree, room: int) -> tuple[Tree, Tree] | None:
    """(a part that fits into `room`, the rest), cut where the part saves the rest most; None where no part is at least
    WORTH_REPEATING times what the rest must write again. What is compared stays together."""
    if len(tree.solutions) < 2 or tree.links:
        return None
    sizes = _sizes(tree)
    repeated = np.array(tree.shared[1:])
    saved = np.where(sizes[:-1] <= room, sizes[:-1] - repeated, -1)
    cut = int(saved.argmax()) + 1
    size, again = int(sizes[cut - 1]), tree.shared[cut]
    if saved[cut - 1] < 0 or size < WORTH_REPEATING * again:
        return None
    return _part(tree, 0, cut, size), _part(tree, cut, len(tree.solutions), len(tree) - size + again)


def _sizes(tree: Tree) -> np.ndarray:
    """Tokens of the first 1, 2, ... solutions together."""
    return np.cumsum(np.array([len(solution.ids) for solution in tree.solutions]) - tree.shared)


def _part(tree: Tree, begin: int, end: int, size: int) -> Tree:
    return Tree(tree.solutions[begin:end], [0, *tree.shared[begin + 1 : end]], size)


def _part_size(tree: Tree, new_before: list[int], begin: int, end: int) -> int:
    return tree.shared[begin] + new_before[end] - new_before[begin]
