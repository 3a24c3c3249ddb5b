"""HelpSteer2's and HelpSteer3's preferences: two responses and a number, below 0 where the first is better."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.chat import dialogue, turns_of
from llm.data.convert.form import Format, Made, Options, Row, Unfit, Unusable, has
from llm.data.convert.pairs import pair
from llm.data.convert.values import number, text

RESPONSES = (("response_1", "response_2"), ("response1", "response2"))
STRENGTHS = ("preference_strength", "overall_preference")


def convert(row: Row, options: Options) -> Iterator[Made]:
    first, second = next(names for names in RESPONSES if names[0] in row)
    name = next(name for name in STRENGTHS if name in row)
    strength = number(row[name], name)
    if strength is None or strength == 0:
        raise Unusable("no response is preferred", row[name])
    if "prompt" in row:
        asked = {"src": [text(row, "prompt")], "tgt": []}
    elif "context" in row:
        asked = dialogue(turns_of(row, "context"))
    else:
        raise Unfit(list(row), "missing key", "no prompt and no context", "a row of this format has one of them")
    better, worse = (first, second) if strength < 0 else (second, first)
    yield pair(asked, text(row, better), text(row, worse), (abs(strength), 0.0), options)


FORMAT = Format(
    name="helpsteer-preference",
    meaning="two responses and a number, below 0 where the first is better",
    fields=(),
    others=("prompt", "context", *RESPONSES[0], *RESPONSES[1], *STRENGTHS),
    fits=lambda row: any(has(*names)(row) for names in RESPONSES) and any(name in row for name in STRENGTHS),
    convert=convert,
    obeys=("margins",),
)
