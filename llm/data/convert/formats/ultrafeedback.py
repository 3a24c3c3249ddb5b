"""UltraFeedback: an instruction and several completions, each with scores; every two of them are a pair."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import Format, Made, Options, Row, has
from llm.data.convert.pairs import pairs_of
from llm.data.convert.values import inner, items, number, text

SCORES = ("fine-grained_score", "overall_score")


def convert(row: Row, options: Options) -> Iterator[Made]:
    answers, scores = [], []
    for place, completion in enumerate(items(row, "completions")):
        where = f"completions[{place}]"
        completion = inner(completion, where, "it is an object with a response and scores", "response")
        answers.append(text(completion, "response"))
        name = next((name for name in SCORES if completion.get(name) is not None), SCORES[0])
        scores.append(number(completion.get(name), f"{where}.{name}"))
    yield from pairs_of({"src": [text(row, "instruction")], "tgt": []}, answers, scores, options)


FORMAT = Format(
    name="ultrafeedback",
    meaning="an instruction and several completions with scores",
    fields=("instruction", "completions"),
    fits=has("instruction", "completions"),
    convert=convert,
    obeys=("margins",),
)
