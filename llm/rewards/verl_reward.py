"""A reward function for verl: reward.custom_reward_function.path=.../llm/rewards/verl_reward.py, name compute_score.

`extra_info` has the prompt as `question`; PADDLE_REWARD_URL or PADDLE_REWARD_MODEL says where scores come from. Lists
of everything, as the batch reward manager of older releases passes them, are scored in one request.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llm.rewards.credit import min_form
from llm.rewards.judges import judge_of_environment


def compute_score(
    data_source: Any = None,
    solution_str: str | None = None,
    ground_truth: Any = None,
    extra_info: dict | None = None,
    *,
    data_sources: Sequence[Any] | None = None,
    solution_strs: Sequence[str] | None = None,
    ground_truths: Sequence[Any] | None = None,
    extra_infos: Sequence[dict] | None = None,
) -> Any:
    """{"score": the lowest step's, "steps": ..., "credits": PURE's min-form}, or a list of these; 0 without a step.

    verl makes an array of each field over a batch, which lists of different lengths cannot be: they are JSON texts."""
    several = solution_strs is not None
    responses = list(solution_strs) if solution_strs is not None else [solution_str or ""]
    infos = list(extra_infos or []) if several else [extra_info or {}]
    if len(infos) != len(responses) or any("question" not in one for one in infos):
        raise ValueError("extra_info has no question: a reward model judges a response to a question")
    scores = judge_of_environment()([one["question"] for one in infos], responses)
    found = [
        {"score": min(one, default=0.0), "steps": json.dumps(one), "credits": json.dumps(min_form(one))}
        for one in scores
    ]
    return found if several else found[0]
