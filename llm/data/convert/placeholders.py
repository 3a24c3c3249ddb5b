"""Solutions that are one text with a placeholder after each step."""

from __future__ import annotations

from collections.abc import Iterable

from llm.data.convert.form import Note, Unfit

PLACEHOLDER = "ки"
FIRST_STEP = "Step 1:"
NO_QUESTION = 'questions left inside first steps that do not begin with "Step 1:"'
INSEPARABLE = 'questions that run into first steps that do not begin with "Step 1:"'
TAIL = "texts without a label after the last placeholder left out"


def question_apart(steps: list[str]) -> tuple[str, list[str]]:
    """The question is what precedes "Step 1:"; without these words it stays inside the first step."""
    steps = [step.strip() for step in steps]
    if not steps or (at := steps[0].find(FIRST_STEP)) == -1:
        return "", steps
    return steps[0][:at].strip(), [steps[0][at:], *steps[1:]]


def notes(question: str, steps: list[str], tail: str) -> Iterable[Note]:
    if not question and steps:
        yield Note(NO_QUESTION, value=steps[0])
    if tail.strip():
        yield Note(TAIL, value=tail.strip())


def joined(question: str, steps: list[str], marks: list[str]) -> str:
    """The question and the steps, each with its mark behind it."""
    lines = "\n".join(f"{step} {mark}" for step, mark in zip(steps, marks, strict=True))
    return f"{question} {lines}" if question else lines


def check_writable(steps: list[str], placeholder: str) -> None:
    for step in steps:
        if placeholder in step:
            remedy = "name another with --placeholder, or leave the record out"
            raise Unfit(step, "step holds the placeholder", placeholder, remedy)


def unseparable(question: str, steps: list[str]) -> Iterable[Note]:
    """Where reading back what is written would find another question."""
    if question_apart([f"{question} {steps[0]}".strip(), *steps[1:]]) != (question.strip(), steps):
        yield Note(INSEPARABLE, value=steps[0])
