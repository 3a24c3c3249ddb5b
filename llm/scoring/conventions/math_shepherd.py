"""peiyi9979/math-shepherd-mistral-7b-prm and models trained like it. No paddle here.

`question Step 1: ... ки\\nStep 2: ... ки`, scored at each ки by the rows of + and - in the LM head: this project's
encoding with the numbers of the steps written before them.
"""

from __future__ import annotations

import re
from dataclasses import replace

from llm.alignment.rm.flashmask.reward_format import FormatValues, make_format
from llm.core.records.reward_records import Record
from llm.core.text.encoding import Sequence
from llm.core.text.tokenizer import Tokenizer
from llm.scoring.conventions import own
from llm.scoring.conventions.convention import Convention

NAME, VERSION, HEAD = "math-shepherd", 1, "lm"
NUMBERED = re.compile(r"step\s+\d+\s*:", re.IGNORECASE)


def convention_of(tokenizer: Tokenizer, limit: int) -> Convention:
    reward_format = make_format(FormatValues("ки", "+,-", limit, limit - 2, False, True, False), tokenizer)
    inner = own.convention_of(reward_format)

    def encode(solution: Record) -> list[Sequence]:
        if all(map(NUMBERED.match, solution.steps)):
            return inner.encode(solution)
        steps = tuple(f"Step {number}: {step}" for number, step in enumerate(solution.steps, 1))
        return inner.encode(replace(solution, steps=steps))

    tokens = reward_format.tokens
    return Convention(NAME, VERSION, True, encode, inner.log_odds, (tokens.positive, tokens.negative))
