"""ProcessBench: a solution and the number of its first wrong step, from 0; -1 if none is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import RIGHT, WRONG, Format, Made, Options, Row, Unfit, Unusable, has, labelled
from llm.data.convert.values import text, texts, whole


def convert(row: Row, options: Options) -> Iterator[Made]:
    steps, first_wrong = texts(row, "steps"), whole(row["label"], "label")
    if first_wrong is None:
        raise Unusable("no label")
    if not -1 <= first_wrong < len(steps):
        detail = f"label is the first wrong one of {len(steps)} steps, from 0"
        raise Unfit(first_wrong, "label beyond the steps", detail, "correct it, or write -1 if no step is wrong")
    right = len(steps) if first_wrong == -1 else first_wrong
    yield labelled(text(row, "problem"), steps, [RIGHT] * right + [WRONG] * (len(steps) - right))


FIELDS = ("problem", "steps", "label")
FORMAT = Format(
    name="processbench",
    meaning="a solution and the number of its first wrong step",
    fields=FIELDS,
    fits=has(*FIELDS),
    convert=convert,
)
