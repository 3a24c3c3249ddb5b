"""What clients send and get, as OpenAPI shows it. No paddle here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SplitSteps = Literal["blank_line", "line", "step_k"]
SPLIT = Field(None, description="How a solution that is one text becomes steps.")


class ScoreRequest(BaseModel):
    """Solutions: {question, steps}, {question, solution}, or records of training data."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"solutions": [{"question": "2 + 3 + 4?", "steps": ["2 + 3 = 5", "5 + 4 = 9"]}]}]
        },
    )
    solutions: Annotated[list[dict[str, Any]], Field(min_length=1)]
    split_steps: SplitSteps | None = SPLIT
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5


class Score(BaseModel):
    """Of one solution: of its steps, or (score and reward) of the answer where the model judges it as a whole."""

    steps: list[float] | None = None
    low: list[float] | float | None = None
    high: list[float] | float | None = None
    min: float | None = None
    last: float | None = None
    product: float | None = None
    mean: float | None = None
    sum_of_log_odds: float | None = None
    first_below: int | None = None
    score: float | None = None
    reward: float | None = None


class ScoreResponse(BaseModel):
    convention: str
    scores: list[Score]


class RewardRequest(BaseModel):
    """As OpenRLHF calls a remote reward model: `query` is prompt and response in one text, `prompts` the prompts."""

    model_config = ConfigDict(extra="ignore")
    query: Annotated[list[str], Field(min_length=1)]
    prompts: list[str] | None = None
    split_steps: SplitSteps | None = SPLIT


class RewardResponse(BaseModel):
    rewards: list[float]
    scores: list[float]
    extra_logs: dict[str, list[float]]


class PairRequest(BaseModel):
    """As vLLM's clients send it: `text_1` the question, `text_2` one or several answers."""

    model_config = ConfigDict(extra="ignore")
    model: str | None = None
    text_1: str
    text_2: str | Annotated[list[str], Field(min_length=1)]


class PairScore(BaseModel):
    index: int
    object: Literal["score"] = "score"
    score: float


class PairResponse(BaseModel):
    object: Literal["list"] = "list"
    model: str
    data: list[PairScore]
