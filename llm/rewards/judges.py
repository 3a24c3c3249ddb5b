"""Scores of responses for a trainer: from a server of `python -m llm serve`, or by a model in this process.

The client needs the standard library alone: it runs in the environment of verl or OpenRLHF, without paddle."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llm.core.http_json import post
from llm.rewards.credit import split

URL, MODEL, TOKEN = "PADDLE_REWARD_URL", "PADDLE_REWARD_MODEL", "PADDLE_REWARD_TOKEN"

# (prompts, responses) -> of each response the scores of its steps
Judge = Callable[[Sequence[str], Sequence[str]], list[list[float]]]


@dataclass(frozen=True)
class Server:
    url: str
    token: str | None = None
    separator: str = "\n\n"
    seconds: float = 600

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[list[float]]:
        asked = _solutions(prompts, responses, self.separator)
        if not any(asked):
            return [[] for _ in asked]
        body = {"solutions": [one for one in asked if one]}
        scores = post(f"{self.url.rstrip('/')}/score", body, self.token, self.seconds, "scores", "scores")
        if len(scores) != len(body["solutions"]):
            raise ValueError(f"{self.url} gave {len(scores)} scores for {len(body['solutions'])} solutions")
        return _in_place(asked, [_steps_of(one, self.url) for one in scores])


@dataclass(frozen=True)
class InProcess:
    model: str
    separator: str = "\n\n"

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[list[float]]:
        from llm.scoring.scorer import Scorer

        asked = _solutions(prompts, responses, self.separator)
        with _one_at_a_time:
            if self.model not in _loaded:
                _loaded[self.model] = Scorer.load(self.model)
            scores = _loaded[self.model].score([one for one in asked if one])
        return _in_place(asked, [one.steps for one in scores])


def _steps_of(given: dict, url: str) -> list[float]:
    """The scores of a solution's steps, or the one of its answer."""
    found = given.get("steps") or [given.get("score")]
    if not isinstance(found, list) or not all(type(score) in (int, float) for score in found):
        raise ValueError(f"{url} gave scores that are no numbers: {ascii(given)[:200]}")
    return found


_loaded: dict = {}  # models, which a trainer asks again and again, from several threads
_one_at_a_time = threading.Lock()


def judge_of_environment() -> Judge:
    """What the environment names: a trainer passes no settings to its reward function."""
    if url := os.environ.get(URL):
        return Server(url, os.environ.get(TOKEN))
    if model := os.environ.get(MODEL):
        return InProcess(model)
    raise ValueError(f"set {URL} to a server of `python -m llm serve`, or {MODEL} to a model's folder")


def _solutions(prompts: Sequence[str], responses: Sequence[str], separator: str) -> list[dict | None]:
    """None for a response without a step."""
    pairs = zip(prompts, ([step for step, _ in split(one, separator)] for one in responses), strict=True)
    return [{"question": prompt, "steps": steps} if steps else None for prompt, steps in pairs]


def _in_place(asked: list[dict | None], scores: list[list[float]]) -> list[list[float]]:
    given = iter(scores)
    return [next(given) if one else [] for one in asked]
