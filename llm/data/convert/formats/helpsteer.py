"""HelpSteer and HelpSteer2: consecutive rows with the same prompt, each with a response and its scores, of which
`helpfulness` decides."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import Format, Made, Options, Row, Unusable, has
from llm.data.convert.pairs import pairs_of
from llm.data.convert.values import number, text

FIELDS = ("prompt", "response", "helpfulness")


def convert(row: Row, options: Options) -> Iterator[Made]:
    rows = row["rows"]
    prompt = text(rows[0], "prompt")
    if len(rows) == 1:
        raise Unusable("only one response to the prompt", prompt)
    scores = [number(one["helpfulness"], "helpfulness") for one in rows]
    yield from pairs_of({"src": [prompt], "tgt": []}, [text(one, "response") for one in rows], scores, options)


FORMAT = Format(
    name="helpsteer",
    meaning="rows with a response and its scores, several in turn for a prompt",
    fields=FIELDS,
    fits=has(*FIELDS),
    convert=convert,
    grouped_by="prompt",
    obeys=("margins",),
)
