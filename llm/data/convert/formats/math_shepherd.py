"""Math-Shepherd: `input` is question and solution with a placeholder after each step, `label` the same text with + or -
in the place of each. The signs occur in the text, too, so the two are read side by side."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.form import Format, Made, Options, Row, Unfit, has, labelled
from llm.data.convert.placeholders import (
    PLACEHOLDER,
    check_writable,
    joined,
    notes,
    question_apart,
    unseparable,
)
from llm.data.convert.values import SIGNS, text
from llm.data.convert.written import parts_of, signs_of


def convert(row: Row, options: Options) -> Iterator[Made]:
    steps, labels, tail = aligned(text(row, "input"), text(row, "label"), options.placeholder or PLACEHOLDER)
    question, steps = question_apart(steps)
    yield from notes(question, steps, tail)
    yield labelled(question, steps, labels)


def aligned(solution: str, signed: str, placeholder: str) -> tuple[list[str], list[str], str]:
    """(steps, their signs, the text after the last one). A placeholder that is one in `signed`, too, is text."""
    pieces = solution.split(placeholder)
    if len(pieces) == 1:
        remedy = "leave the row out, or name its placeholder with --placeholder"
        raise Unfit(solution, "no placeholder", f"{placeholder} is not in input", remedy)
    steps, labels = [], []
    step, at = "", 0
    for number, piece in enumerate(pieces):
        if not signed.startswith(piece, at):
            detail = f"after {number} placeholders; the two have the same text but for the signs"
            raise Unfit(signed[at : at + 40], "label is not input with signs", detail, "leave the row out")
        step, at = step + piece, at + len(piece)
        if number == len(pieces) - 1:
            break
        if signed.startswith(placeholder, at):
            step, at = step + placeholder, at + len(placeholder)
            continue
        if (sign := signed[at : at + 1]) not in SIGNS:
            raise Unfit(signed[at : at + 20], "no sign", f"placeholder {number + 1} of input", "it is + or - in label")
        steps.append(step)
        labels.append(sign)
        step, at = "", at + 1
    if at < len(signed):
        raise Unfit(signed[at : at + 40], "label is not input with signs", "it is longer", "leave the row out")
    return steps, labels, step


def write(record: dict, options: Options) -> Iterator[Made]:
    question, steps, labels, lost = parts_of(record)
    placeholder = options.placeholder or PLACEHOLDER
    signs = signs_of(labels)
    check_writable([question, *steps], placeholder)
    yield from lost
    yield from unseparable(question, steps)
    yield {
        "input": joined(question, steps, [placeholder] * len(steps)),
        "label": joined(question, steps, signs),
    }


FORMAT = Format(
    name="math-shepherd",
    meaning="a text with a placeholder after each step, and the same text with signs",
    fields=("input", "label"),
    fits=lambda row: has("input", "label")(row) and isinstance(row["label"], str) and "value" not in row,
    convert=convert,
    obeys=("placeholder",),
    write=write,
)
