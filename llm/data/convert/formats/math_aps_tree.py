"""MATH-APS as a search tree: each node continues its parent and has a Monte-Carlo value.

Each path to a leaf is a record; the value of a node counts in the first one, in the others the node is context.
"""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import Format, Made, Note, Options, Row, Unfit, has
from llm.data.convert.paths import Node, records_of
from llm.data.convert.values import inner, inside, items, label, text

FIELDS = ("question", "reasoning_steps")
UNVALUED = "nodes without a value at the end of a path left out"


def convert(row: Row, options: Options) -> Iterator[Made]:
    question = text(row, "question")
    root = inside(row, "reasoning_steps")
    if root.get("text") != question:
        raise Unfit(root.get("text"), "tree of another question", "reasoning_steps.text", "the root is the question")
    yield Note("values of the question alone left out", value=root.get("mc_value"))
    top = Node("", None)
    todo = [(root, top)]
    while todo:
        node, made = todo.pop()
        for child in items(node, "children"):
            child = inner(child, "node", "it has text, mc_value and children", "text", "mc_value", "children")
            made.children.append(Node(text(child, "text"), label(child["mc_value"], "mc_value")))
            todo.append((child, made.children[-1]))
    yield from records_of(question, top.children, UNVALUED, bool(options.repeat_labels))


FORMAT = Format(
    name="math-aps-tree",
    meaning="search trees with Monte-Carlo values",
    fields=FIELDS,
    fits=lambda row: (
        has(*FIELDS)(row) and isinstance(row["reasoning_steps"], dict) and "children" in row["reasoning_steps"]
    ),
    convert=convert,
    obeys=("threshold", "repeat_labels"),
)
