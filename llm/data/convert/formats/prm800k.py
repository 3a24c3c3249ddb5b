"""PRM800K as its raters left it: for each step the completions they judged, and the one they continued from.

The continued steps are one record; each other completion is a record that shares the steps before it. Every rating
counts once: in the further records those steps are context, with null for a label. What a rater wrote in place of a
step has no rating; it is context, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import RIGHT, WRONG, Format, Made, Note, Options, Row, Unfit, Unusable, has
from llm.data.convert.paths import Node, records_of
from llm.data.convert.values import items, one_of, text, whole

NEUTRAL: dict[str, str | float | None] = {"good": RIGHT, "bad": WRONG, "soft": 0.5, "skip": None}
UNRATED = "steps without a rating at the end of a path left out"


def convert(row: Row, options: Options) -> Iterator[Made]:
    neutral = NEUTRAL[options.neutral or "good"]
    question = text(_inside(row, "question"), "problem")
    steps = items(_inside(row, "label"), "steps")
    roots: list[Node] = []
    level = roots
    for number, step in enumerate(steps):
        where = f"label.steps[{number}]"
        if not isinstance(step, dict):
            raise Unfit(step, "wrong type", where, "it is an object with completions")
        nodes = [_node(completion, where, neutral) for completion in step.get("completions") or []]
        chosen = whole(step.get("chosen_completion"), f"{where}.chosen_completion")
        human = step.get("human_completion")
        if chosen is not None and not 0 <= chosen < len(nodes):
            raise Unfit(chosen, "no such completion", f"{where}.chosen_completion", f"there are {len(nodes)}, from 0")
        if chosen is None and human is not None:
            nodes.insert(0, Node(_text_of(human, f"{where}.human_completion"), None))
            chosen = 0
        if chosen is not None:
            nodes.insert(0, nodes.pop(chosen))  # the path that was continued is the first record
        level += nodes
        if chosen is None:
            if more := sum(len(later.get("completions") or []) for later in steps[number + 1 :]):
                yield Note("completions after a step that was not continued left out", more)
            break
        level = nodes[0].children
    if not roots:
        raise Unusable("no step")
    yield from records_of(question, roots, UNRATED, bool(options.repeat_labels))


def _inside(row: Row, name: str) -> Row:
    if not isinstance(row[name], dict):
        raise Unfit(row[name], "wrong type", name, "it is an object")
    return row[name]


def _node(completion: object, where: str, neutral: str | float | None) -> Node:
    step = _text_of(completion, f"{where}.completions")
    rating = whole(completion.get("rating"), f"{where}.completions.rating")  # type: ignore[attr-defined]
    one_of(rating, (1, 0, -1, None), "unknown rating", where)
    return Node(step, {1: RIGHT, 0: neutral, -1: WRONG, None: None}[rating])


def _text_of(completion: object, where: str) -> str:
    if not isinstance(completion, dict) or not isinstance(completion.get("text"), str):
        raise Unfit(completion, "wrong type", where, "it is an object with a text")
    return completion["text"]


FORMAT = Format(
    name="prm800k",
    meaning="PRM800K as its raters left it, with all completions of each step",
    fields=("question", "label"),
    fits=lambda row: has("question", "label")(row) and isinstance(row["label"], dict) and "steps" in row["label"],
    convert=convert,
    obeys=("neutral", "repeat_labels"),
)
