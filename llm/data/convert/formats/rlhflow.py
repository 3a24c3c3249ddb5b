"""RLHFlow's process rewards: turns in which the user gives a step and the answer is + or -."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.chat import turns_of
from llm.data.convert.form import Format, Made, Options, Row, Unfit, labelled
from llm.data.convert.placeholders import notes, question_apart
from llm.data.convert.values import SIGNS


def convert(row: Row, options: Options) -> Iterator[Made]:
    turns = turns_of(row, "conversations")
    steps, labels = [], []
    for number, (role, content) in enumerate(turns):
        if role != ("user", "assistant")[number % 2]:
            raise Unfit(role, "turns do not alternate", f"conversations[{number}]", "a step and its sign take turns")
        if role == "user":
            steps.append(content)
        elif content.strip() in SIGNS:
            labels.append(content.strip())
        else:
            raise Unfit(content, "no sign", f"conversations[{number}]", "it is + or -")
    *answered, tail = [*steps, ""] if len(steps) == len(labels) else steps
    question, answered = question_apart(answered)
    yield from notes(question, answered, tail)
    yield labelled(question, answered, labels)


def fits(row: Row) -> bool:
    turns = row.get("conversations")
    if not isinstance(turns, list) or len(turns) < 2 or not all(isinstance(turn, dict) for turn in turns):
        return False
    return all(str(turn.get("content", turn.get("value"))).strip() in SIGNS for turn in turns[1::2])


FORMAT = Format(
    name="rlhflow",
    meaning="turns in which the user gives a step and the answer is + or -",
    fields=("conversations",),
    fits=fits,
    convert=convert,
)
