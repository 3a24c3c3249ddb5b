"""A reward function for OpenRLHF: --remote_rm_url .../llm/rewards/openrlhf_reward.py.

`queries` are prompts and responses in one text. PADDLE_REWARD_URL or PADDLE_REWARD_MODEL says where scores come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm.rewards.judges import judge_of_environment


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Any = None) -> dict[str, Any]:
    """Rewards are the lowest steps' scores, as a tensor where torch is installed."""
    responses = []
    for query, prompt in zip(queries, prompts, strict=True):
        if not query.startswith(prompt):
            raise ValueError(f"a query does not begin with its prompt: {query[:80]!r}, {prompt[:80]!r}")
        responses.append(query[len(prompt) :])
    rewards = _tensor([min(one, default=0.0) for one in judge_of_environment()(prompts, responses)])
    return {"rewards": rewards, "scores": rewards, "extra_logs": {}}


def _tensor(values: list[float]) -> Any:
    try:
        import torch  # type: ignore[import-not-found]  # of the trainer's environment
    except ImportError:
        return values
    return torch.tensor(values)
