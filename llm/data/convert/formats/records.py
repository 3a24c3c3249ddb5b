"""This project's own records, to be checked, cut at a threshold, or written in another format."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import Format, Made, Options, Row, has
from llm.data.convert.values import given

OTHERS = ("tgt", "responses", "labels", "response", "sort", "weight", "margin")


def convert(row: Row, options: Options) -> Iterator[Made]:
    given(row, "responses", "response")
    yield {name: row[name] for name in ("src", *OTHERS) if name in row}


FORMAT = Format(
    name="records",
    meaning="this project's own records",
    fields=("src",),
    others=OTHERS,
    fits=lambda row: has("src", "responses", "labels")(row) or has("src", "response", "sort")(row),
    convert=convert,
    obeys=("threshold",),
)
