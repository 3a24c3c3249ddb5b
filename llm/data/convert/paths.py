"""Trees of steps -> a record for each path, in which every label counts once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from llm.data.convert.form import Made, Note, labelled


@dataclass(slots=True)
class Node:
    step: str
    label: str | float | None
    children: list[Node] = field(default_factory=list)


def records_of(question: str, roots: list[Node], unlabelled: str, repeat: bool = False) -> Iterator[Made]:
    """One record for each leaf. A node's label is in the first record that it is part of and null in the later ones,
    where its step is context, or in all of them with `repeat`. Steps after the last label of a path are counted as
    `unlabelled`."""
    path: list[Node] = []
    seen = 0  # the first nodes of the path whose labels are in an earlier record
    todo = [(node, 0) for node in reversed(roots)]
    while todo:
        node, depth = todo.pop()
        path[depth:] = [node]
        seen = min(seen, depth)
        if node.children:
            todo += [(child, depth + 1) for child in reversed(node.children)]
            continue
        labels = [None if number < seen else inner.label for number, inner in enumerate(path)]
        kept = next((length for length in range(len(labels), 0, -1) if labels[length - 1] is not None), 0)
        if lost := len(path) - max(kept, seen):
            yield Note(unlabelled, lost, path[-1].step)
        if kept:
            shown = [inner.label for inner in path] if repeat else labels
            yield labelled(question, [inner.step for inner in path[:kept]], shown[:kept])
        seen = len(path)
