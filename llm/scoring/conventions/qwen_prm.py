"""Qwen/Qwen2.5-Math-PRM-7B, -72B and Qwen2.5-Math-7B-PRM800K. No paddle here.

A chat with the system's prompt, the question, and the steps as the assistant's turn, each followed by <extra_0>, at
which a head of two layers tells two classes apart; class 1 is right.
"""

from __future__ import annotations

from llm.core.records.reward_records import Record
from llm.core.text.encoding import Sequence
from llm.core.text.tokenizer import Tokenizer
from llm.scoring.conventions.convention import Convention, second_minus_first
from llm.scoring.conventions.texts import Template, ids_of, made_sequence, one_id, question_of

NAME, VERSION, HEAD = "qwen-prm", 1, "mlp"
SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."
TAG = "<extra_0>"


def convention_of(tokenizer: Tokenizer, limit: int) -> Convention:
    template, tag = Template(tokenizer, NAME), one_id(tokenizer, TAG, NAME)

    def encode(solution: Record) -> list[Sequence]:
        question = question_of(solution, NAME)
        prompt = template.text([{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}])
        prompt_len = len(template.ids(prompt))
        ids = template.ids(prompt + solution.steps[0])
        scored = [len(ids)]
        for step in solution.steps[1:]:
            ids += [tag, *ids_of(tokenizer, step)]
            scored.append(len(ids))
        return [made_sequence([*ids, tag], scored, prompt_len, limit, solution.place)]

    return Convention(NAME, VERSION, True, encode, second_minus_first)
