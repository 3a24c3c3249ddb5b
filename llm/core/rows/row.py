"""A packed row: trees of solutions written one after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm.core.rows.payload import Some, payload_of
from llm.core.rows.prefix_tree import Tree


@dataclass(frozen=True, slots=True)
class Row:
    """S tokens of one or more trees with `solution_count` solutions, and what they are for."""

    ids: np.ndarray  # [S] int32
    positions: np.ndarray  # [S] int32, depth within the solution
    end_row: np.ndarray  # [S] int32
    solution_count: int
    payload: Some
    records: tuple[str, ...] = ()  # where they were read

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def weight(self) -> float:
        """What the row counts in the loss of an update."""
        return self.payload.weight


def make_row(trees: list[Tree]) -> Row:
    """The trees one after another, each depth first."""
    solutions = [solution for tree in trees for solution in tree.solutions]
    shared = [count for tree in trees for count in tree.shared]
    length = sum(map(len, trees))
    end_row, positions = np.empty(length, "int32"), np.empty(length, "int32")
    depths = np.arange(max(map(len, solutions)))
    path = np.empty(len(depths), "int64")  # the tokens of the current solution, by depth
    depth, start, places = 0, 0, []
    for solution, common in zip(solutions, shared, strict=True):
        end_row[path[common:depth]] = start  # branches that this one turns away from
        depth = len(solution.ids)
        end = start + depth - common
        path[common:depth] = depths[: depth - common] + start
        positions[start:end] = depths[common:depth]
        start = end
        places.append(path[solution.scored])
    end_row[path[:depth]] = length
    return Row(
        ids=np.concatenate([s.ids[common:] for s, common in zip(solutions, shared, strict=True)]),
        positions=positions,
        end_row=end_row,
        solution_count=len(solutions),
        payload=payload_of(trees, places),
        records=tuple(dict.fromkeys(place for tree in trees for place in _places_of(tree))),
    )


def _places_of(tree: Tree) -> list[str]:
    return [link.place for link in tree.links] or [solution.place for solution in tree.solutions]
