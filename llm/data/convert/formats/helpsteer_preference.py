"""HelpSteer2's and HelpSteer3's preferences: two responses and a number, below 0 where the first is better."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from llm.data.convert.chat import dialogue, turns_of
from llm.data.convert.form import Format, Made, Options, Row, Unusable, has
from llm.data.convert.pairs import pair
from llm.data.convert.values import given, number, text

RESPONSES = {"response_1": ("response_1", "response_2"), "response1": ("response1", "response2")}
STRENGTHS = ("preference_strength", "overall_preference")


def convert(row: Row, options: Options) -> Iterator[Made]:
    first, second = RESPONSES[given(row, *RESPONSES)]
    name = next((name for name in STRENGTHS if name in row), STRENGTHS[0])
    strength = number(row.get(name), name)
    if strength is None or strength == 0:
        raise Unusable("no response is preferred", row.get(name))
    if given(row, "prompt", "context") == "prompt":
        asked = {"src": [text(row, "prompt")], "tgt": []}
    else:
        asked = dialogue(turns_of(row, "context"))
    better, worse = (first, second) if strength < 0 else (second, first)
    yield pair(asked, text(row, better), text(row, worse), (abs(strength), 0.0), options)


FORMAT = Format(
    name="helpsteer-preference",
    meaning="two responses and a number, below 0 where the first is better",
    fields=(),
    others=("prompt", "context", *chain.from_iterable(RESPONSES.values()), *STRENGTHS),
    fits=lambda row: any(has(*names)(row) for names in RESPONSES.values()) and any(name in row for name in STRENGTHS),
    convert=convert,
    obeys=("margins",),
)
