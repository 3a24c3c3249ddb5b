"""Pairs of a chosen and a rejected answer: as texts or messages, with the prompt in a field or inside them."""

from __future__ import annotations

from collections.abc import Iterator

from llm.data.convert.chat import Turn, dialogue, spoken, turns_of
from llm.data.convert.form import Format, Made, Note, Options, Row, Unfit, Unusable, has
from llm.data.convert.pairs import pair
from llm.data.convert.values import number, text

SCORES = ("score_chosen", "score_rejected")
PROMPTS = ("prompt", "question", "instruction", "conversations")
NO_PROMPT = "pairs without a prompt, with a blank src"


def convert(row: Row, options: Options) -> Iterator[Made]:
    prompt = _prompt(row)
    chosen, rejected = _turns(row, "chosen"), _turns(row, "rejected")
    *before, chosen_answer = _joined(prompt, chosen)
    *other_before, rejected_answer = _joined(prompt, rejected)
    if before != other_before:
        raise Unusable("chosen and rejected do not continue the same dialogue", rejected_answer[1])
    if chosen_answer[0] != "assistant" or rejected_answer[0] != "assistant":
        raise Unusable("the last turn is not an answer", chosen_answer[1])
    if any(role == "system" for role, _ in before):
        yield Note("system messages written in front of the first turn")
    if not before:
        yield Note(NO_PROMPT, value=chosen_answer[1])
    made = dialogue(before) if before else {"src": [""], "tgt": []}
    scores = [number(row.get(name), name) for name in SCORES]
    yield pair(made, chosen_answer[1], rejected_answer[1], scores, options)


def _prompt(row: Row) -> list[Turn]:
    name = next((name for name in PROMPTS if row.get(name) is not None), None)
    if name is None:
        return []
    if isinstance(row[name], str):
        more = row.get("input") if name == "instruction" else None  # Alpaca's two parts of a prompt
        return spoken(row[name]) or [("user", f"{row[name]}\n{text(row, 'input')}" if more else row[name])]
    return turns_of(row, name)


def _turns(row: Row, name: str) -> list[Turn]:
    if isinstance(row[name], str):
        return spoken(row[name]) or [("assistant", row[name])]
    if isinstance(row[name], dict):  # a single message
        return turns_of({name: [row[name]]}, name)
    if not row[name]:
        raise Unfit(row[name], "no turn", name, "it is a text or a list of messages")
    return turns_of(row, name)


def _joined(prompt: list[Turn], turns: list[Turn]) -> list[Turn]:
    """The prompt once, whether the messages begin with it or not."""
    bare = [turn for turn in turns if turn[0] != "system"]
    said = [turn for turn in prompt if turn[0] != "system"]
    if prompt and [(role, content.strip()) for role, content in bare[: len(said)]] != [
        (role, content.strip()) for role, content in said
    ]:
        return prompt + turns
    return turns


FORMAT = Format(
    name="preferences",
    meaning="a chosen and a rejected answer, as texts or messages",
    fields=("chosen", "rejected"),
    others=(*PROMPTS, "input", *SCORES),
    fits=has("chosen", "rejected"),
    convert=convert,
    obeys=("margins",),
)
