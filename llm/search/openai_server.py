"""A generator behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp and others serve POST /v1/completions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llm.core.http_json import post
from llm.scoring.final_answers import answer_of
from llm.search.generator import Proposal, Sampling

TOKEN = "OPENAI_API_KEY"


@dataclass(frozen=True)
class ServerGenerator:
    """The prompt is the question and the steps so far; a step ends with the separator, a solution with the text."""

    url: str  # such as http://127.0.0.1:8000/v1
    model: str
    sampling: Sampling = field(default_factory=Sampling)
    seconds: float = 300

    def next_steps(self, question: str, steps: Sequence[str], count: int) -> list[Proposal]:
        choices = self._ask(question, steps, count, stop=[self.sampling.separator])
        found = {choice["text"].strip(): _is_end(choice) for choice in choices if choice["text"].strip()}
        return [Proposal(text, is_last) for text, is_last in found.items()]

    def complete(self, question: str, steps: Sequence[str], count: int, first: int = 0) -> list[list[str]]:
        texts = (choice["text"] for choice in self._ask(question, steps, count))
        return [[step.strip() for step in text.split(self.sampling.separator) if step.strip()] for text in texts]

    def _ask(self, question: str, steps: Sequence[str], count: int, **more: Any) -> list[dict]:
        begun = "".join(f"{step}{self.sampling.separator}" for step in steps)
        body = {
            "model": self.model,
            "prompt": self.sampling.prompt.format(question=question, steps=begun),
            "n": count,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "max_tokens": self.sampling.max_tokens,
            **more,
        }
        url = f"{self.url.rstrip('/')}/completions"
        choices = post(url, body, os.environ.get(TOKEN), self.seconds, "choices", "completions")
        return [choice for choice in choices if isinstance(choice.get("text"), str)]


def _is_end(choice: dict) -> bool:
    """vLLM names the text that it stopped at, and none at the end of a solution. Other servers say "stop" for both;
    there a solution ends with its answer."""
    if "stop_reason" in choice:
        return choice.get("finish_reason") == "stop" and choice["stop_reason"] is None
    return answer_of(choice["text"]) is not None
