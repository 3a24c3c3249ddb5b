"""A prompt that holds question and solution, with a special token after each step, and a list of labels."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import Format, Made, Options, Row, Unfit, Unusable, has, labelled
from llm.data.convert.placeholders import PLACEHOLDER, notes, question_apart
from llm.data.convert.values import items, label, text

TOKENS = ("<|reserved_special_token_250|>", "<extra_0>", PLACEHOLDER)
QUESTION, ANSWER = "Question:", "\nAnswer:"


def convert(row: Row, options: Options) -> Iterator[Made]:
    prompt = text(row, "prompt")
    labels = [label(value, f"label[{number}]") for number, value in enumerate(items(row, "label"))]
    if not labels:
        raise Unusable("no labels", prompt)
    token = options.placeholder or next((token for token in TOKENS if token in prompt), TOKENS[0])
    *steps, tail = prompt.split(token)
    if len(steps) != len(labels):
        detail = f"{len(steps)} times {token}, label: {len(labels)}"
        remedy = "leave the row out, or name its special token with --placeholder"
        raise Unfit(row["label"], "special tokens and labels differ in number", detail, remedy)
    question, steps = _apart(steps)
    yield from notes(question, steps, tail)
    yield labelled(question, steps, labels)


def _apart(steps: list[str]) -> tuple[str, list[str]]:
    question, answer, first = steps[0].partition(ANSWER)
    if not answer:
        return question_apart(steps)
    return question.removeprefix(QUESTION).strip(), [step.strip() for step in (first, *steps[1:])]


def fits(row: Row) -> bool:
    return has("prompt", "label")(row) and isinstance(row["prompt"], str) and isinstance(row["label"], list | str)


FORMAT = Format(
    name="special-token",
    meaning="a prompt with a special token after each step, and a list of labels",
    fields=("prompt", "label"),
    fits=fits,
    convert=convert,
    obeys=("placeholder", "threshold"),
)
