"""Metrics for Prometheus: requests, seconds, solutions, tokens, and the length of the queue. No paddle here."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from llm.serving.batching import Batcher
from llm.serving.limits import Message, Receive, Scope, Send

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

    def answered(self, path: str, status: int, seconds: float) -> None:
        path = path if path in PATHS else "other"
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)


class Watch:
    """Around the application: the status and the time of every answer. Plain ASGI, because Starlette's own wrapper of
    functions starts tasks and streams for each request."""

    def __init__(self, app: Any, metrics: Metrics):
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.monotonic(), 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note)
        finally:
            self.metrics.answered(scope["path"], status, time.monotonic() - start)
