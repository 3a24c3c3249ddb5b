"""RLHFlow/Llama3.1-8B-PRM-Mistral-Data and -Deepseek-Data. No paddle here.

A chat in which the user says a step (the first with the question before it) and the assistant answers "+". A step is
scored where the model is about to answer: by the rows of + and - in the LM head, at the token before each "+".
"""

from __future__ import annotations

from llm.core.records.reward_records import Record
from llm.core.text.encoding import Sequence
from llm.core.text.tokenizer import Tokenizer
from llm.scoring.conventions.convention import Convention, first_minus_second
from llm.scoring.conventions.texts import Template, ids_of, made_sequence, question_of

NAME, VERSION, HEAD = "rlhflow", 1, "lm"


def convention_of(tokenizer: Tokenizer, limit: int) -> Convention:
    template = Template(tokenizer, NAME)
    positive, negative = (ids_of(tokenizer, sign)[-1] for sign in "+-")

    def encode(solution: Record) -> list[Sequence]:
        messages: list[dict[str, str]] = []
        ids: list[int] = []
        scored = []
        said = f"{question_of(solution, NAME)} {solution.steps[0]}"
        for step in (said, *solution.steps[1:]):
            messages.append({"role": "user", "content": step})
            asked = template.ids(template.text(messages))
            if asked[: len(ids)] != ids:
                raise ValueError(f"convention {NAME}: the chat template changes what it wrote before; give the model's")
            scored.append(len(asked) - 1)
            messages.append({"role": "assistant", "content": "+"})
            ids = template.ids(template.text(messages, answers=False))
            if ids[len(asked)] != positive:
                raise ValueError(f"convention {NAME}: the answer + is not a token of its own in this chat template")
        return [made_sequence(ids, scored, 0, limit, solution.place)]

    return Convention(NAME, VERSION, True, encode, first_minus_second, (positive, negative))
