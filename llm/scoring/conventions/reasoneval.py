"""GAIR/ReasonEval-7B and -34B. No paddle here.

Question, a fixed line, and the steps, tokenised with the padding token between them, which is then taken out; three
classes at each step's last token. A step is valid with the probability of class 1 (redundant) or 2 (needed).
"""

from __future__ import annotations

import numpy as np

from llm.core.records.reward_records import Record
from llm.core.text.encoding import Sequence
from llm.core.text.tokenizer import Tokenizer
from llm.scoring.conventions.convention import Convention
from llm.scoring.conventions.texts import made_sequence, one_id, question_of

NAME, VERSION, HEAD = "reasoneval", 1, "classes"


def convention_of(tokenizer: Tokenizer, limit: int) -> Convention:
    separator = tokenizer.named["pad_token"]
    if separator is None:
        raise ValueError(f"convention {NAME}: this tokenizer has no pad_token, which separates the steps")
    between = one_id(tokenizer, separator, NAME)

    def encode(solution: Record) -> list[Sequence]:
        question = question_of(solution, NAME)
        prompt = f"Question:\n{question}\nAnswer:\nLet's think step by step.\n"
        text = prompt + "".join(step + separator for step in solution.steps)
        marked = [
            *tokenizer.prefix,
            *tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"],
        ]
        ids: list[int] = []
        scored = []
        for number in marked:
            if number == between:
                scored.append(len(ids) - 1)
            else:
                ids.append(number)
        if len(scored) != len(solution.steps):
            raise ValueError(f"{solution.place}: the text contains {separator!r}, which separates the steps")
        return [made_sequence(ids, scored, 0, limit, solution.place)]

    return Convention(NAME, VERSION, True, encode, _valid)


def _valid(outputs: list[np.ndarray], sequences: list[Sequence]) -> np.ndarray:
    return np.concatenate([np.logaddexp(z_K3[:, 1], z_K3[:, 2]) - z_K3[:, 0] for z_K3 in outputs])
