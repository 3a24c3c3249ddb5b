"""PRIME-RL/EurusPRM-Stage1 and -Stage2, and models of loss_type implicit_prm: a policy and a reference are the reward
model. No paddle here.

q is beta times the sum of log(policy / reference) over the answer's tokens so far, and a step's reward is what it adds:
here its log-odds. The rewards of all steps add up to that of the answer.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from llm.core.records.dialogues import ASSISTANT, Message
from llm.core.records.judged_answers import messages_of
from llm.core.records.reward_records import Record
from llm.core.run.answer_format import AnswerFormat
from llm.core.text.answers import texts_of
from llm.core.text.encoding import Sequence
from llm.core.text.tokenizer import Tokenizer
from llm.scoring.conventions.convention import Convention
from llm.scoring.conventions.math_shepherd import NUMBERED
from llm.scoring.conventions.texts import Template, made_sequence, question_of

NAME, VERSION, HEAD = "implicit", 1, "next token"
BETA = 0.001  # of the published code; its script has 0.005


def convention_of(tokenizer: Tokenizer, limit: int) -> Convention:
    template = Template(tokenizer, NAME)

    def encode(solution: Record) -> list[Sequence]:
        prompt = template.text([{"role": "user", "content": question_of(solution, NAME)}])
        numbered = all(map(NUMBERED.match, solution.steps))
        steps = [step if numbered else f"Step {n}: {step}" for n, step in enumerate(solution.steps, 1)]
        ends = [len(template.ids(prompt + "\n\n".join(steps[:count]))) for count in range(len(steps) + 1)]
        ids = template.ids(prompt + "\n\n".join(steps))
        scored = range(ends[0] - 1, ends[-1] - 1)  # each predicts the next token
        marks = np.repeat(np.arange(len(steps)), np.diff(ends)).tolist()
        return [made_sequence(ids, list(scored), ends[0], limit, solution.place, marks)]

    return Convention(NAME, VERSION, True, encode, partial(_rewards, beta=BETA))


def of_training(answer_format: AnswerFormat, limit: int) -> Convention:
    """Of a model that `python -m llm dpo` has trained with loss_type implicit_prm: text as in its training, and its
    beta. The end token of an answer belongs to the last step."""
    texts = texts_of(answer_format.tokenizer, limit, answer_format.use_chat_template)

    def encode(solution: Record) -> list[Sequence]:
        *before, answer = messages_of(solution)
        if (prompt := texts.prompt(tuple(before))) is None:
            raise ValueError(f"{solution.place}: the prompt has more than {limit:,} tokens. Shorten the question.")
        ids = texts.answer((*before, answer))
        parts = ("\n".join(solution.steps[:count]) for count in range(1, len(solution.steps)))
        ends = [_common(texts.answer((*before, Message(ASSISTANT, part))), ids) for part in parts]
        marks = np.repeat(np.arange(len(solution.steps)), np.diff([0, *ends, len(ids)])).tolist()
        first = len(prompt.ids)
        scored = range(first - 1, first - 1 + len(ids))  # each predicts the next token
        return [made_sequence([*prompt.ids, *ids], list(scored), first, limit, solution.place, marks)]

    assert answer_format.implicit_beta
    return Convention(NAME, VERSION, True, encode, partial(_rewards, beta=answer_format.implicit_beta))


def only_with_reference(name: str, reference: object) -> str:
    """Why a convention cannot be used with this reference, or without one."""
    if reference is None:
        return f"convention {name} needs a reference (--reference FOLDER): the model that the policy was trained from."
    return f"reference {reference}: convention {name} has none. Leave it out, or choose convention {NAME}."


def _common(part: list[int], whole: list[int]) -> int:
    """How many tokens both begin with."""
    return next((n for n, (a, b) in enumerate(zip(part, whole, strict=False)) if a != b), min(len(part), len(whole)))


def _rewards(outputs: list[np.ndarray], sequences: list[Sequence], beta: float) -> np.ndarray:
    (log_p_K2,), (sequence,) = outputs, sequences
    steps = sequence.labels.astype("int64")
    return beta * np.bincount(steps, log_p_K2[:, 0] - log_p_K2[:, 1], minlength=int(steps.max()) + 1)
