"""llmtrainer's SFT data: a prompt and its response. The records are src and tgt of equal length: nothing is judged."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import Format, Made, Options, Row, Unusable, has
from llm.data.convert.values import text

SCORED = ("label", "helpfulness", "score", "chosen", "response_1")


def convert(row: Row, options: Options) -> Iterator[Made]:
    prompt, response = text(row, "prompt"), text(row, "response")
    if not response.strip():
        raise Unusable("an empty response", prompt)
    yield {"src": [prompt], "tgt": [response]}


FORMAT = Format(
    name="llmtrainer-sft",
    meaning="a prompt and its response, for supervised fine-tuning",
    fields=("prompt", "response"),
    fits=lambda row: has("prompt", "response")(row) and not any(name in row for name in SCORED),
    convert=convert,
)
