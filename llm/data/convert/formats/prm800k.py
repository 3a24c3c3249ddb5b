"""PRM800K as its raters left it: for each step the completions they judged, and the one they continued from.

The continued steps are one record; each other completion is a record that shares the steps before it. Every rating
counts once: in the further records those steps are context, with null for a label. What a rater wrote in place of a
step has no rating; it is context, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import RIGHT, WRONG, Format, Made, Note, Options, Row, Unfit, Unusable, has
from llm.data.convert.paths import Node, records_of
from llm.data.convert.values import inner, inside, items, one_of, text, whole

NEUTRAL: dict[str, str | float | None] = {"good": RIGHT, "bad": WRONG, "soft": 0.5, "skip": None}
UNRATED = "steps without a rating at the end of a path left out"


def convert(row: Row, options: Options) -> Iterator[Made]:
    neutral = NEUTRAL[options.neutral or "good"]
    question = text(inside(row, "question"), "problem")
    steps = [_step(step, f"label.steps[{number}]") for number, step in enumerate(items(inside(row, "label"), "steps"))]
    roots: list[Node] = []
    level = roots
    for number, step in enumerate(steps):
        where = f"label.steps[{number}]"
        nodes = [_node(completion, where, neutral) for completion in step["completions"]]
        chosen = whole(step.get("chosen_completion"), f"{where}.chosen_completion")
        human = step.get("human_completion")
        if chosen is not None and not 0 <= chosen < len(nodes):
            raise Unfit(chosen, "no such completion", f"{where}.chosen_completion", f"there are {len(nodes)}, from 0")
        if chosen is None and human is not None:
            written = inner(human, f"{where}.human_completion", "it is an object with a text")
            nodes.insert(0, Node(text(written, "text"), None))
            chosen = 0
        if chosen is not None:
            nodes.insert(0, nodes.pop(chosen))  # the path that was continued is the first record
        level += nodes
        if chosen is None:
            if more := sum(len(later["completions"]) for later in steps[number + 1 :]):
                yield Note("completions after a step that was not continued left out", more)
            break
        level = nodes[0].children
    if not roots:
        raise Unusable("no step")
    yield from records_of(question, roots, UNRATED, bool(options.repeat_labels))


def _step(step: object, where: str) -> Row:
    """With a list of completions, which is null where only a rater wrote something."""
    step = inner(step, where, "it is an object with completions")
    return step | {"completions": [] if step.get("completions") is None else items(step, "completions")}


def _node(completion: object, where: str, neutral: str | float | None) -> Node:
    completion = inner(completion, f"{where}.completions", "it is an object with a text", "text")
    step = text(completion, "text")
    rating = whole(completion.get("rating"), f"{where}.completions.rating")
    one_of(rating, (1, 0, -1, None), "unknown rating", where)
    return Node(step, {1: RIGHT, 0: neutral, -1: WRONG, None: None}[rating])


FORMAT = Format(
    name="prm800k",
    meaning="PRM800K as its raters left it, with all completions of each step",
    fields=("question", "label"),
    fits=lambda row: has("question", "label")(row) and isinstance(row["label"], dict) and "steps" in row["label"],
    convert=convert,
    obeys=("neutral", "repeat_labels"),
)
