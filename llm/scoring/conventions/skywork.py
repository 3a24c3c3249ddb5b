"""Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B and -7B. No paddle here.

The start token, the problem and a line break, then each step tokenised alone with a line break behind it, at which one
output is the score's log-odds.
"""

from __future__ import annotations

from llm.core.records.reward_records import Record
from llm.core.text.encoding import Sequence
from llm.core.text.tokenizer import Tokenizer
from llm.scoring.conventions.convention import Convention, only_column
from llm.scoring.conventions.texts import ids_of, made_sequence, question_of

NAME, VERSION, HEAD = "skywork", 1, "value"


def convention_of(tokenizer: Tokenizer, limit: int) -> Convention:
    line_break = ids_of(tokenizer, "\n")[-1]
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]

    def encode(solution: Record) -> list[Sequence]:
        ids = [*start, *ids_of(tokenizer, f"{question_of(solution, NAME)}\n")]
        prompt_len, scored = len(ids), []
        for step in solution.steps:
            ids += [*ids_of(tokenizer, step), line_break]
            scored.append(len(ids) - 1)
        return [made_sequence(ids, scored, prompt_len, limit, solution.place)]

    return Convention(NAME, VERSION, True, encode, only_column)
