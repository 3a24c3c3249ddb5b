"""A reward function for OpenRLHF: --reward.remote_url .../llm/rewards/openrlhf_reward.py.

`queries` are prompts and responses in one text, with the mark that ends a response. PADDLE_REWARD_URL or
PADDLE_REWARD_MODEL says where scores come from. Where a chat template writes the prompts, PADDLE_REWARD_QUESTION=label
takes the questions from `labels`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from llm.core.text.end_mark import without_end_mark
from llm.rewards.judges import judge_of_environment

QUESTION = "PADDLE_REWARD_QUESTION"


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Any = None) -> dict[str, Any]:
    """Rewards are the lowest steps' scores, as a tensor where torch is installed."""
    responses = []
    for query, prompt in zip(queries, prompts, strict=True):
        if not query.startswith(prompt):
            raise ValueError(f"a query does not begin with its prompt: {query[:80]!r}, {prompt[:80]!r}")
        responses.append(without_end_mark(query[len(prompt) :]))
    scores = judge_of_environment()(_questions(prompts, labels), responses)
    rewards = _tensor([min(one, default=0.0) for one in scores])
    return {"rewards": rewards, "scores": rewards, "extra_logs": {}}


def _questions(prompts: Sequence[str], labels: Any) -> Sequence[str]:
    """What the reward model is asked: the prompts as they are, or the plain questions."""
    source = os.environ.get(QUESTION, "prompt")
    if source not in ("prompt", "label"):
        raise ValueError(f"{QUESTION} is {source!r}. It is prompt or label.")
    if source == "prompt":
        return prompts
    if labels is None or not all(isinstance(label, str) and label.strip() for label in labels):
        raise ValueError(f"{QUESTION} is label, and a label is no question: {labels!r:.200}. Set --data.label_key.")
    return labels


def _tensor(values: list[float]) -> Any:
    try:
        import torch  # type: ignore[import-not-found]  # of the trainer's environment
    except ImportError:
        return values
    return torch.tensor(values)
