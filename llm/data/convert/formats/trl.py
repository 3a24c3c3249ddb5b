"""TRL's stepwise supervision: true or false for each completion."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import RIGHT, Format, Made, Options, Row, has, labelled
from llm.data.convert.values import items, same_length, sign, text, texts
from llm.data.convert.written import parts_of, signs_of


def convert(row: Row, options: Options) -> Iterator[Made]:
    steps, labels = texts(row, "completions"), items(row, "labels")
    same_length(steps, labels, "completions and labels")
    signs = [sign(label, f"labels[{number}]") for number, label in enumerate(labels)]
    yield labelled(text(row, "prompt"), steps, signs)


def write(record: dict, options: Options) -> Iterator[Made]:
    question, steps, labels, notes = parts_of(record)
    yield from notes
    yield {"prompt": question, "completions": steps, "labels": [label == RIGHT for label in signs_of(labels)]}


FIELDS = ("prompt", "completions", "labels")
FORMAT = Format(
    name="trl",
    meaning="TRL's stepwise supervision: true or false for each completion",
    fields=FIELDS,
    fits=has(*FIELDS),
    convert=convert,
    write=write,
)
