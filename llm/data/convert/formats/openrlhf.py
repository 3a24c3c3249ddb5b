"""OpenRLHF's process rewards: a text with a placeholder after each step, and a list with a sign or a value for each.

The fields are `input` and `value`, or `inputs` with `labels` (signs) and `values` (numbers, which are preferred).
"""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import RIGHT, WRONG, Format, Made, Options, Row, Unfit, labelled
from llm.data.convert.placeholders import (
    PLACEHOLDER,
    check_writable,
    joined,
    notes,
    question_apart,
    unseparable,
)
from llm.data.convert.values import given, items, label, text
from llm.data.convert.written import SIGNS, parts_of

NUMBERS: dict[str | float, float] = {RIGHT: 1.0, WRONG: 0.0}
TEXTS, LABELS = ("input", "inputs"), ("value", "values", "labels")


def convert(row: Row, options: Options) -> Iterator[Made]:
    placeholder = options.placeholder or PLACEHOLDER
    name = given(row, *LABELS)
    labels = [label(value, f"{name}[{number}]") for number, value in enumerate(items(row, name))]
    *steps, tail = text(row, given(row, *TEXTS)).split(placeholder)
    if len(steps) != len(labels):
        detail = f"{len(steps)} times {placeholder}, {name}: {len(labels)}"
        remedy = "leave the row out, or name its placeholder with --placeholder"
        raise Unfit(row[name], "placeholders and labels differ in number", detail, remedy)
    question, steps = question_apart(steps)
    yield from notes(question, steps, tail)
    yield labelled(question, steps, labels)


def write(record: dict, options: Options) -> Iterator[Made]:
    question, steps, labels, lost = parts_of(record)
    placeholder = options.placeholder or PLACEHOLDER
    check_writable([question, *steps], placeholder)
    yield from lost
    yield from unseparable(question, steps)
    hard = all(value in SIGNS for value in labels)
    # a list of strings or of numbers: that reader takes no other
    values = [SIGNS[value] if hard else NUMBERS.get(value, value) for value in labels]
    yield {"input": joined(question, steps, [placeholder] * len(steps)), "value": values}


def fits(row: Row) -> bool:
    return ("input" in row and "value" in row) or ("inputs" in row and ("labels" in row or "values" in row))


FORMAT = Format(
    name="openrlhf",
    meaning="a text with a placeholder after each step, and a list of signs or values",
    fields=(),
    others=TEXTS + LABELS,
    fits=fits,
    convert=convert,
    obeys=("placeholder", "threshold"),
    write=write,
)
