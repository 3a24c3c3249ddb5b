"""Dialogues of other formats: messages with roles, or texts with speakers in them."""

from __future__ import annotations

import re

from llm.data.convert.form import Row, Unfit, Unusable
from llm.data.convert.values import items

ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "chatbot"), "assistant"),
    "system": "system",
}
SPEAKER = re.compile(r"\n\n(Human|Assistant):")
Turn = tuple[str, str]  # role, content


def turns_of(row: Row, name: str) -> list[Turn]:
    """Of a list of messages {role, content} or {from, value}."""
    turns = []
    for number, message in enumerate(items(row, name)):
        where = f"{name}[{number}]"
        if not isinstance(message, dict):
            raise Unfit(message, "wrong type", where, "it is a message with role and content")
        role, content = message.get("role", message.get("from")), message.get("content", message.get("value"))
        if not isinstance(role, str) or role not in ROLES:
            raise Unfit(role, "unknown role", where, f"it is one of {', '.join(ROLES)}")
        if not isinstance(content, str):
            raise Unfit(content, "wrong type", f"{where}.content", "it is a string")
        turns.append((ROLES[role], content))
    return turns


def spoken(text: str) -> list[Turn]:
    """Of a text in which Human: and Assistant: begin the turns; empty for any other text."""
    if not text.startswith("\n\nHuman:"):
        return []
    _, *parts = SPEAKER.split(text)
    return [(ROLES[role.lower()], said.strip()) for role, said in zip(parts[::2], parts[1::2], strict=True)]


def dialogue(turns: list[Turn]) -> dict:
    """{"src": what the user says, "tgt": what was answered}, ending with the user; a system message goes in front of
    the first turn."""
    system = "\n\n".join(content for role, content in turns if role == "system")
    rest = [turn for turn in turns if turn[0] != "system"]
    if [role for role, _ in rest] != ["user", "assistant"] * (len(rest) // 2) + ["user"]:
        raise Unusable("turns of user and assistant do not alternate", [role for role, _ in turns])
    src = [content for role, content in rest if role == "user"]
    if system:
        src[0] = f"{system}\n\n{src[0]}"
    return {"src": src, "tgt": [content for role, content in rest if role == "assistant"]}
