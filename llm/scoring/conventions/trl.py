"""What TRL's PRMTrainer saves, such as trl-lib/Qwen2-0.5B-Reward-Math-Sheperd. No paddle here.

The prompt, then each step and the separator, all tokenised apart; two classes at the separator's last token, class 1 is
right. PURE-PRM-7B is the same with a blank line as the separator.
"""

from __future__ import annotations

from llm.core.records.reward_records import Record
from llm.core.text.encoding import Sequence
from llm.core.text.tokenizer import Tokenizer
from llm.scoring.conventions.convention import Convention, second_minus_first
from llm.scoring.conventions.texts import ids_of, made_sequence, question_of

NAME, VERSION, HEAD = "trl", 1, "linear"


def convention_of(tokenizer: Tokenizer, limit: int, name: str = NAME, separator: str = "\n") -> Convention:
    between = ids_of(tokenizer, separator)
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]

    def encode(solution: Record) -> list[Sequence]:
        ids = [*start, *ids_of(tokenizer, question_of(solution, name))]
        prompt_len, scored = len(ids), []
        for step in solution.steps:
            ids += [*ids_of(tokenizer, step), *between]
            scored.append(len(ids) - 1)
        return [made_sequence(ids, scored, prompt_len, limit, solution.place)]

    return Convention(name, VERSION, True, encode, second_minus_first)
