"""What the conventions of published models share: pieces of text as ids, chat templates, limits. No paddle here."""

from __future__ import annotations

import numpy as np

from llm.core.records.reward_records import Record
from llm.core.text.chat_template import compile_template
from llm.core.text.encoding import Sequence
from llm.core.text.tokenizer import Tokenizer

Message = dict[str, str]


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    """Without a start token; the name of a special token is text."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def one_id(tokenizer: Tokenizer, text: str, convention: str) -> int:
    """Of a token that a convention needs."""
    number = tokenizer.token_id(text)
    if number is None:
        raise ValueError(
            f"convention {convention}: this tokenizer has no token {text!r}, by which the steps are marked. Choose the "
            "convention that the model was trained with, or copy its own tokenizer into its folder."
        )
    return number


def question_of(solution: Record, convention: str) -> str:
    if solution.tgt:
        raise ValueError(f"{solution.place}: convention {convention} has one question, and this is a dialogue")
    return solution.src[0]


def made_sequence(
    ids: list[int], scored: list[int], prompt_len: int, limit: int, place: str, marks: list[float] | None = None
) -> Sequence:
    """`marks` say what each scored position belongs to, if that is not the next step."""
    ids = ids[: scored[-1] + 2]  # what follows the last score is not seen by it; one token, for who asks for the next
    if len(ids) > limit:
        raise ValueError(f"{place}: {len(ids):,} tokens, and the model attends over {limit:,}. Shorten the solution.")
    labels = np.zeros(len(scored), "float32") if marks is None else np.array(marks, "float32")
    return Sequence(np.array(ids, "int32"), np.array(scored, "int64"), labels, prompt_len)


class Template:
    """The tokenizer's chat template, as ids. There a special token's name is the token."""

    def __init__(self, tokenizer: Tokenizer, convention: str):
        self._tokenizer = tokenizer
        try:
            self._render = compile_template(tokenizer)
        except ValueError as error:  # which goes on with what a training could do
            why = str(error).partition(". ")[0].removeprefix("use_chat_template: ")
            raise ValueError(
                f"convention {convention} writes a solution in the model's chat template: {why}. Choose the convention "
                "that the model was trained with, or copy its own tokenizer into its folder."
            ) from None

    def text(self, messages: list[Message], answers: bool = True) -> str:
        """`answers`: ends with what begins the assistant's turn."""
        return self._render(messages, add_generation_prompt=answers)

    def ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"]
