"""Who has to agree with a label: a reward model in this process, a server of `python -m llm serve`, or a file of scores
as `python -m llm score` writes it. No paddle here."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llm.core.console import count_of, problem_list
from llm.core.files import checksum
from llm.core.http_json import Refused, post
from llm.core.records.json_stream import read_values
from llm.core.records.problem import Problem, excerpt
from llm.scoring.score import load

TOKEN = "PADDLE_REWARD_TOKEN"
SECONDS, UNREADABLE = 600, 422

Row = tuple[str, tuple[str, ...], str]  # question, steps, answer
# (number of the row, question, steps) -> the probabilities of the steps; None for a solution that has no scores
Judge = Callable[[int, str, Sequence[str]], list[float] | None]


def judge_of(options: argparse.Namespace, rows: list[Row]) -> tuple[Judge, str]:
    """What --judge names, and what says whether it is the same one again."""
    if is_url(options.judge):
        return _server(f"{options.judge.rstrip('/')}/score"), options.judge
    if Path(options.judge).is_file():
        scores = _read(Path(options.judge), rows)
        return lambda number, question, steps: scores[number], checksum(Path(options.judge))
    scorer = load(options, options.judge, options.convention)
    if not scorer.convention.of_steps:
        raise ValueError(f"--judge {options.judge}: this model scores whole answers. Give a process reward model.")

    def ask(number: int, question: str, steps: Sequence[str]) -> list[float] | None:
        (scores,) = scorer.score_each([{"question": question, "steps": list(steps)}])
        return None if isinstance(scores, str) else scores.steps

    return ask, scorer.weights


def is_url(judge: str) -> bool:
    return judge.startswith(("http://", "https://"))


def _server(url: str) -> Judge:
    def ask(number: int, question: str, steps: Sequence[str]) -> list[float] | None:
        body = {"solutions": [{"question": question, "steps": list(steps)}]}
        try:
            found = post(url, body, os.environ.get(TOKEN), SECONDS, "scores", "scores")
        except Refused as refused:
            if refused.status == UNREADABLE:  # too long for its model
                return None
            raise
        scores = found[0].get("steps") if len(found) == 1 else None
        if not _fits(scores, steps):
            raise ValueError(f"{url} gave no score for each of {count_of(len(steps), 'step')}: {ascii(found)[:200]}")
        return scores

    return ask


def _read(file: Path, rows: list[Row]) -> list[list[float] | None]:
    """One line for each row of the input; ValueError with all that do not fit."""
    values = list(read_values(file))
    problems = [str(value) for _, value in values if isinstance(value, Problem)]
    if not problems and len(values) != len(rows):
        raise ValueError(
            f"--judge {file}: {count_of(len(values), 'row')} of scores for {count_of(len(rows), 'solution')}"
        )
    found: list[list[float] | None] = []
    for (place, value), (_, steps, _) in zip(values, rows, strict=False):
        scores: Any = value.get("scores") if isinstance(value, dict) else None
        scores = scores.get("steps") if isinstance(scores, dict) else scores
        if isinstance(value, dict) and "error" in value:
            found.append(None)
        elif _fits(scores, steps):
            found.append(scores)
        elif not isinstance(value, Problem):
            detail = f"scores are {excerpt(scores)}, and the solution has {count_of(len(steps), 'step')}"
            problems.append(f"{place}: {detail}. Give a probability for each.")
    if problems:
        raise ValueError(f"--judge {file}:\n{problem_list(problems)}")
    return found


def _fits(scores: Any, steps: Sequence[str]) -> bool:
    return (
        isinstance(scores, list)
        and len(scores) == len(steps)
        and all(type(score) in (int, float) and 0 <= score <= 1 for score in scores)
    )
