"""MATH-APS: beginnings of solutions, each with the share of continuations from it that reached the right answer.

Where one is the beginning of another, it is the first steps of the other one's record; its value counts once.
"""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import Format, Made, Note, Options, Row, Unfit, has
from llm.data.convert.paths import Node, records_of
from llm.data.convert.values import inner, items, label, text

FIELDS = ("question", "reasoning_steps")
UNVALUED = "beginnings without a value left out"


def convert(row: Row, options: Options) -> Iterator[Made]:
    question = text(row, "question")
    solutions = []
    for number, item in enumerate(items(row, "reasoning_steps")):
        where = f"reasoning_steps[{number}]"
        item = inner(item, where, "it has solution_prefix and mc_value", "solution_prefix", "mc_value")
        beginning, value = text(item, "solution_prefix"), label(item["mc_value"], f"{where}.mc_value")
        if not beginning.startswith(question):
            raise Unfit(beginning, "beginning without the question", where, "solution_prefix begins with the question")
        solution = beginning[len(question) :].strip()
        if solution:
            solutions.append((solution, value))
        else:
            yield Note("values of the question alone left out", value=item["mc_value"])
    yield from records_of(question, nested(solutions), UNVALUED, bool(options.repeat_labels))


def nested(solutions: list[tuple[str, str | float | None]]) -> list[Node]:
    """A tree in which each is a child of the longest one that it begins with; equal ones are siblings."""
    roots: list[Node] = []
    path: list[tuple[str, Node]] = []
    for solution, value in sorted(solutions, key=lambda pair: pair[0]):
        while path and not _continues(solution, path[-1][0]):
            path.pop()
        node = Node(solution[len(path[-1][0]) :].strip() if path else solution, value)
        (path[-1][1].children if path else roots).append(node)
        path.append((solution, node))
    return roots


def _continues(solution: str, beginning: str) -> bool:
    """Not in the middle of a word."""
    return solution.startswith(beginning) and solution[len(beginning) : len(beginning) + 1].isspace()


FORMAT = Format(
    name="math-aps",
    meaning="beginnings of solutions with Monte-Carlo values",
    fields=FIELDS,
    fits=lambda row: has(*FIELDS)(row) and isinstance(row["reasoning_steps"], list),
    convert=convert,
    obeys=("threshold", "repeat_labels"),
)
