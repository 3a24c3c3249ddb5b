"""The HTTP interface of a scorer. No text of a client reaches a log. No paddle here: the scorer brings it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import compress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException  # FastAPI's own is one of these, and not all are FastAPI's

from llm.core.text.encoding import Sequence
from llm.core.text.end_mark import without_end_mark
from llm.scoring.scorer import Scorer
from llm.scoring.scores import AGGREGATES, Scores
from llm.scoring.solutions import solutions_of
from llm.serving import schema
from llm.serving.batching import Batcher, Encoded, Overloaded
from llm.serving.limits import Guard, Limits, refuse
from llm.serving.metrics import Metrics, Watch

PAGE = Path(__file__).with_name("page.html")
BATCH_TOKENS = 1 << 14
RETRY_AFTER = 1  # seconds
UNREADABLE = 422


class Refused(Exception):  # noqa: N818 (an answer to a client, not a fault)
    def __init__(self, status: int, why: str):
        super().__init__(why)
        self.response = refuse(status, why, **({"Retry_After": str(RETRY_AFTER)} if status == 503 else {}))


class Service:
    """What all requests share."""

    def __init__(self, scorer: Scorer, name: str, limits: Limits, aggregate: str):
        self.scorer, self.name, self.limits, self.aggregate = scorer, name, limits, aggregate
        self.batcher = Batcher(scorer.score_encoded, limits.waiting_tokens, BATCH_TOKENS)
        self.encoding = ThreadPoolExecutor(1, "encoding")  # the encoder's caches are one thread's
        self.metrics = Metrics(self.batcher)

    async def scores_of(self, solutions: list[dict[str, Any]], split_steps: str | None) -> list[Scores]:
        if len(solutions) > self.limits.solutions:
            raise Refused(413, f"{len(solutions):,} solutions; a request may have {self.limits.solutions:,}")
        encoded = await asyncio.get_running_loop().run_in_executor(self.encoding, self._encode, solutions, split_steps)
        tokens = sum(len(sequence) for sequences in encoded for sequence in sequences)
        if tokens > self.limits.tokens:
            raise Refused(413, f"{tokens:,} tokens; a request may have {self.limits.tokens:,}")
        try:
            waiting = self.batcher.submit(encoded)
        except Overloaded:
            raise Refused(503, "too many requests wait; try again later") from None
        try:
            scores = await asyncio.wait_for(asyncio.wrap_future(waiting), self.limits.answer_seconds)
        except asyncio.TimeoutError:
            raise Refused(503, f"no score within {self.limits.answer_seconds:g} s; try again later") from None
        self.metrics.scored(len(scores), sum(len(one.log_odds) for one in scores), tokens)
        return scores

    def _encode(self, solutions: list[dict[str, Any]], split_steps: str | None) -> Encoded:
        encoded: list[list[Sequence]] = []
        problems = []
        for number, value in enumerate(solutions):
            try:
                records = solutions_of(value, f"solution {number}", split_steps)
                encoded += [self.scorer.convention.encode(record) for record in records]
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise Refused(UNREADABLE, "\n".join(problems[:20]))
        return encoded

    def one_number(self, scores: Scores) -> float:
        return getattr(scores, self.aggregate) if scores.of_steps else scores.reward

    def gives_probabilities(self) -> bool:
        return self.scorer.convention.of_steps and self.aggregate != "sum_of_log_odds"

    def close(self) -> None:
        self.batcher.close()
        self.encoding.shutdown()


def make_app(service: Service, token: str | None) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(title="paddle-reward", description=service.scorer.describe(), lifespan=lifespan)
    app.add_middleware(Guard, limits=service.limits, token=token)
    app.add_middleware(Watch, metrics=service.metrics)
    app.exception_handler(Refused)(lambda request, refused: refused.response)
    app.exception_handler(RequestValidationError)(_malformed)
    app.exception_handler(HTTPException)(lambda request, error: refuse(error.status_code, error.detail))
    app.exception_handler(404)(lambda request, error: refuse(404, "there is nothing here: see /docs"))
    _add_scores(app, service)
    _add_state(app, service)
    return app


def _add_scores(app: FastAPI, service: Service) -> None:
    @app.post("/score", response_model=schema.ScoreResponse)
    async def score(request: schema.ScoreRequest) -> Response:
        """Probabilities of all steps, their aggregates, and the first step below the threshold."""
        scores = await service.scores_of(request.solutions, request.split_steps)
        found = [schema.Score(**one.as_dict(request.threshold)) for one in scores]
        return _as_json(schema.ScoreResponse(convention=service.scorer.convention.label, scores=found))

    @app.post("/get_reward")
    async def get_reward(request: schema.RewardRequest) -> schema.RewardResponse:
        """One reward for each text, as OpenRLHF's remote reward call expects it; 0 for a response without text, where
        rewards are probabilities."""
        solutions = _of_queries(request)
        is_asked = [bool(one["solution"].strip()) or not service.gives_probabilities() for one in solutions]
        asked = list(compress(solutions, is_asked))
        found = iter(await service.scores_of(asked, request.split_steps or "blank_line") if asked else [])
        scores = [next(found) if one else None for one in is_asked]
        rewards = [0.0 if one is None else service.one_number(one) for one in scores]
        logs = {name: [0.0 if one is None else getattr(one, name) for one in scores] for name in ("min", "last")}
        return schema.RewardResponse(rewards=rewards, scores=rewards, extra_logs=logs)

    @app.post("/v1/score")
    async def pair_score(request: schema.PairRequest) -> schema.PairResponse:
        """One score for each answer, in the form of vLLM's score endpoint."""
        answers = [request.text_2] if isinstance(request.text_2, str) else request.text_2
        solutions = [{"question": request.text_1, "solution": answer} for answer in answers]
        scores = await service.scores_of(solutions, "blank_line")
        found = [schema.PairScore(index=n, score=service.one_number(one)) for n, one in enumerate(scores)]
        return schema.PairResponse(model=service.name, data=found)


def _as_json(response: BaseModel) -> Response:
    """Written by pydantic: FastAPI would validate the whole answer again and copy it value by value."""
    return Response(response.model_dump_json(exclude_none=True), media_type="application/json")


def _of_queries(request: schema.RewardRequest) -> list[dict[str, Any]]:
    prompts = request.prompts or [""] * len(request.query)
    if len(prompts) != len(request.query):
        raise Refused(UNREADABLE, f"{len(request.query)} texts in query, {len(prompts)} in prompts; give one for each")
    wrong = [number for number, (q, p) in enumerate(zip(request.query, prompts, strict=True)) if not q.startswith(p)]
    if wrong:
        raise Refused(UNREADABLE, f"query {wrong[0]} does not begin with its prompt")
    pairs = zip(request.query, prompts, strict=True)
    return [{"question": prompt, "solution": without_end_mark(query[len(prompt) :])} for query, prompt in pairs]


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> dict[str, Any]:
        scorer = service.scorer
        return {
            "status": "ok",
            "model": service.name,
            "convention": scorer.convention.label,
            "of_steps": scorer.convention.of_steps,
        }

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"))


async def _malformed(request: Request, error: RequestValidationError) -> JSONResponse:
    """Where and what, without what was sent, which may be large."""
    if "json" not in request.headers.get("content-type", ""):
        return refuse(415, "send JSON, with the header Content-Type: application/json")
    return refuse(UNREADABLE, "\n".join(map(_problem_of, error.errors()[:20])))


def _problem_of(one: dict[str, Any]) -> str:
    if one["type"] == "json_invalid":
        return f"body: not JSON at character {one['loc'][-1]}: {one['ctx']['error']}"
    return f"{'.'.join(map(str, one['loc'][1:])) or 'body'}: {one['msg']}"


__all__ = ["AGGREGATES", "Service", "make_app"]
