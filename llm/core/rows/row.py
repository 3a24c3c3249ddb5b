"""A packed row: trees of solutions written behind one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm.core.rows.prefix_tree import Tree


@dataclass(frozen=True, slots=True)
class Row:
    """S tokens of one or more trees with `solution_count` solutions. K of them are scored, some for several solutions,
    M times together. What counts are the M labels, or the P pairs of answers that are compared."""

    ids: np.ndarray  # [S] int32
    positions: np.ndarray  # [S] int32, depth within the solution
    end_row: np.ndarray  # [S] int32
    scored: np.ndarray  # [K] int64, rising
    solution_count: int
    label_at: np.ndarray  # [M] int64, which of the K positions a label belongs to
    labels: np.ndarray  # [M] float32, as the data has them
    targets: np.ndarray  # [M] float32, what the loss makes of them
    weights: np.ndarray  # [M] float32, 0 for the answers of pairs
    solutions: np.ndarray  # [M] int64, whose label it is
    chosen: np.ndarray  # [P] int64, which of the K positions
    rejected: np.ndarray  # [P] int64
    margins: np.ndarray  # [P] float32
    pair_weights: np.ndarray  # [P] float32
    records: tuple[str, ...] = ()  # where they stand

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def weight(self) -> float:
        """What the row counts in the loss of an update."""
        return float(self.weights.sum(dtype="float64") + self.pair_weights.sum(dtype="float64"))


def make_row(trees: list[Tree]) -> Row:
    """The trees behind one another, each depth first."""
    solutions = [solution for tree in trees for solution in tree.solutions]
    shared = [count for tree in trees for count in tree.shared]
    length = sum(map(len, trees))
    end_row = np.empty(length, "int32")
    path = np.empty(max(map(len, solutions)), "int64")  # the tokens of the solution at hand, by depth
    depth, start, scored_places = 0, 0, []
    for solution, common in zip(solutions, shared, strict=True):
        end_row[path[common:depth]] = start  # branches that this one turns away from
        depth = len(solution)
        path[common:depth] = np.arange(start, start + depth - common)
        start += depth - common
        scored_places.append(path[solution.scored])
    end_row[path[:depth]] = length
    scored, place = np.unique(np.concatenate(scored_places), return_inverse=True)
    labels = np.concatenate([solution.labels for solution in solutions])
    counts = [len(solution.labels) for solution in solutions]
    place = place.astype("int64")
    chosen, rejected, margins, pair_weights = _links_of(trees)
    return Row(
        ids=np.concatenate([s.ids[common:] for s, common in zip(solutions, shared, strict=True)]),
        positions=np.concatenate(
            [np.arange(common, len(s), dtype="int32") for s, common in zip(solutions, shared, strict=True)]
        ),
        end_row=end_row,
        scored=scored.astype("int64"),
        solution_count=len(solutions),
        label_at=place,
        labels=labels,
        targets=labels,
        weights=np.repeat(np.array([solution.weight for solution in solutions], "float32"), counts),
        solutions=np.repeat(np.arange(len(solutions)), counts),
        chosen=place[chosen],
        rejected=place[rejected],
        margins=margins,
        pair_weights=pair_weights,
        records=tuple(dict.fromkeys(place for tree in trees for place in _places_of(tree))),
    )


def _places_of(tree: Tree) -> list[str]:
    return [link.place for link in tree.links] or [solution.place for solution in tree.solutions]


def _links_of(trees: list[Tree]) -> tuple[np.ndarray, ...]:
    """(chosen [P], rejected [P], margins [P], weights [P]), solutions numbered through the row."""
    first, ends = 0, []
    for tree in trees:
        ends += [(link.chosen + first, link.rejected + first) for link in tree.links]
        first += len(tree.solutions)
    chosen, rejected = np.array(ends, "int64").reshape(-1, 2).T
    links = [link for tree in trees for link in tree.links]
    margins = np.array([link.margin for link in links], "float32")
    return chosen, rejected, margins, np.array([link.weight for link in links], "float32")
