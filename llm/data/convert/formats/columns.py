"""Columns of any table, once --map says which one is what: a question with steps and labels, or with an answer and
its label."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import Format, Made, Options, Row, Unfit, labelled
from llm.data.convert.values import items, label, number, same_length, text, texts


def convert(row: Row, options: Options) -> Iterator[Made]:
    if "steps" in row:
        steps = _steps(row, options)
        labels = [label(value, f"labels[{place}]") for place, value in enumerate(items(row, "labels"))]
        same_length(steps, labels, "steps and labels")
    else:
        steps, labels = [text(row, "answer")], [label(row.get("label"), "label")]
    record = labelled(text(row, "question"), steps, labels)
    weight = number(row.get("weight"), "weight")
    yield record if weight is None else {**record, "weight": weight}


def _steps(row: Row, options: Options) -> list[str]:
    value = row["steps"]
    if not isinstance(value, str) or value.lstrip().startswith("["):
        return texts(row, "steps")
    if options.step_separator is None:
        remedy = "write it as a JSON list, or say with --step_separator where it is cut"
        raise Unfit(value, "one text for all steps", "steps", remedy)
    return [step for step in value.split(options.step_separator) if step.strip()]


def fits(row: Row) -> bool:
    return "question" in row and ({"steps", "labels"} <= row.keys() or {"answer", "label"} <= row.keys())


FORMAT = Format(
    name="columns",
    meaning="a table with a question, steps and labels, or an answer and its label",
    fields=("question",),
    others=("steps", "labels", "answer", "label", "weight"),
    fits=fits,
    convert=convert,
    obeys=("threshold", "step_separator"),
)
