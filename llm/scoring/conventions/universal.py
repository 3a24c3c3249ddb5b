"""infly/Universal-PRM-7B: a text of its own for each prefix of the steps. No paddle here.

A chat with the question and a reference answer, here always the words for none, and the steps so far as the answer; one
output at the end token behind them is the score's log-odds. All prefixes share a tree, so they cost one forward.
"""

from __future__ import annotations

from llm.core.records.reward_records import Record
from llm.core.text.encoding import Sequence
from llm.core.text.tokenizer import Tokenizer
from llm.scoring.conventions.convention import Convention, only_column
from llm.scoring.conventions.texts import Template, made_sequence, one_id, question_of

NAME, VERSION, HEAD = "universal", 1, "scalar"
SYSTEM, END = "You are a helpful assistant.", "<|endoftext|>"
NO_REFERENCE = "\n\n###\n\nThe reference answer is: There is no reference answer for this question."


def convention_of(tokenizer: Tokenizer, limit: int) -> Convention:
    template, end = Template(tokenizer, NAME), one_id(tokenizer, END, NAME)

    def encode(solution: Record) -> list[Sequence]:
        asked = question_of(solution, NAME) + NO_REFERENCE
        prompt = template.text([{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}])
        prompt_len, sequences = len(template.ids(prompt)), []
        for count in range(1, len(solution.steps) + 1):
            ids = [*template.ids(prompt + "\n\n".join(solution.steps[:count])), end]
            sequences.append(made_sequence(ids, [len(ids) - 1], prompt_len, limit, solution.place))
        return sequences

    return Convention(NAME, VERSION, True, encode, only_column)
