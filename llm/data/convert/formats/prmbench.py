"""PRMBench: a solution that was made wrong, and the numbers of its wrong steps, from 1.

The file multi_solutions has other right solutions to the questions, with an empty list.
"""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import RIGHT, WRONG, Format, Made, Options, Row, Unfit, Unusable, has, labelled
from llm.data.convert.values import items, text, texts, whole


def convert(row: Row, options: Options) -> Iterator[Made]:
    steps = texts(row, "modified_process")
    errors = [_step_number(error, f"error_steps[{place}]") for place, error in enumerate(items(row, "error_steps"))]
    if beyond := [error for error in errors if error > len(steps)]:
        raise Unusable("error_steps beyond the steps", beyond)
    labels = [WRONG if step in errors else RIGHT for step in range(1, len(steps) + 1)]
    yield labelled(text(row, "modified_question"), steps, labels)


def _step_number(value: object, where: str) -> int:
    found = whole(value, where)
    if found is None or found < 1:
        raise Unfit(value, "not a step number", where, "steps are counted from 1")
    return found


FIELDS = ("modified_question", "modified_process", "error_steps")
FORMAT = Format(
    name="prmbench",
    meaning="a solution that was made wrong, and the numbers of its wrong steps",
    fields=FIELDS,
    fits=has(*FIELDS),
    convert=convert,
)
