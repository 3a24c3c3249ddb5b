"""PRIME-RL/EurusPRM-Stage1 and -Stage2: a policy and a reference are the reward model. No paddle here.

q is beta times the sum of log(policy / reference) over the answer's tokens so far, and a step's reward is what it adds:
here its log-odds. The rewards of all steps add up to that of the answer.
"""

from __future__ import annotations

import numpy as np

from llm.core.records.records import Record
from llm.core.text.encoding import Sequence
from llm.core.text.tokenizer import Tokenizer
from llm.scoring.conventions.convention import Convention
from llm.scoring.conventions.math_shepherd import NUMBERED
from llm.scoring.conventions.texts import Template, made_sequence, question_of

NAME, VERSION, HEAD = "implicit", 1, "next token"
BETA = 0.001  # of the published code; its script has 0.005


def convention_of(tokenizer: Tokenizer, limit: int) -> Convention:
    template = Template(tokenizer)

    def encode(solution: Record) -> list[Sequence]:
        prompt = template.text([{"role": "user", "content": question_of(solution, NAME)}])
        numbered = all(map(NUMBERED.match, solution.steps))
        steps = [step if numbered else f"Step {n}: {step}" for n, step in enumerate(solution.steps, 1)]
        ends = [len(template.ids(prompt + "\n\n".join(steps[:count]))) for count in range(len(steps) + 1)]
        ids = template.ids(prompt + "\n\n".join(steps))
        scored = range(ends[0] - 1, ends[-1] - 1)  # each predicts the next token
        marks = np.repeat(np.arange(len(steps)), np.diff(ends)).tolist()
        return [made_sequence(ids, list(scored), ends[0], limit, solution.place, marks)]

    return Convention(NAME, VERSION, True, encode, _rewards)


def _rewards(outputs: list[np.ndarray], sequences: list[Sequence]) -> np.ndarray:
    (log_p_K2,), (sequence,) = outputs, sequences
    steps = sequence.labels.astype("int64")
    return BETA * np.bincount(steps, log_p_K2[:, 0] - log_p_K2[:, 1], minlength=int(steps.max()) + 1)
