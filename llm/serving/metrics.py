"""Metrics for Prometheus: requests, seconds, solutions, tokens, and the length of the queue. No paddle here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from fastapi import Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from llm.serving.batching import Batcher

PATHS = ("/score", "/get_reward", "/v1/score", "/health", "/metrics", "/")  # others are counted together


class Metrics:
    def __init__(self, batcher: Batcher):
        self.registry = CollectorRegistry()
        name = "paddle_reward"
        self._requests = Counter(f"{name}_requests", "Answers.", ("path", "status"), registry=self.registry)
        self._seconds = Histogram(f"{name}_seconds", "Until the answer.", ("path",), registry=self.registry)
        self._solutions = Counter(f"{name}_solutions", "Solutions that were scored.", registry=self.registry)
        self._steps = Counter(f"{name}_steps", "Scores that were given.", registry=self.registry)
        self._tokens = Counter(f"{name}_tokens", "Tokens before shared beginnings.", registry=self.registry)
        waiting = Gauge(f"{name}_waiting_tokens", "Tokens that wait.", registry=self.registry)
        waiting.set_function(lambda: batcher.tokens_waiting)

    def scored(self, solutions: int, steps: int, tokens: int) -> None:
        self._solutions.inc(solutions)
        self._steps.inc(steps)
        self._tokens.inc(tokens)

    async def watch(self, request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        start, path = time.monotonic(), request.url.path if request.url.path in PATHS else "other"
        status = 500
        try:
            response = await answer(request)
            status = response.status_code
            return response
        finally:
            self._requests.labels(path, status).inc()
            self._seconds.labels(path).observe(time.monotonic() - start)
