"""Best-of-N: how often the answer that a model chooses among N candidates is right.

A row is a question with its `candidates`, or one candidate, which belongs to the rows with the same question. A
candidate has steps (a list) or solution (a text), `correct` (true or false), and for voting its `answer`.

For N = 1, 2, 4, ... up to the candidates that every question has: best-of-N by each aggregate, majority vote, vote
weighted by each aggregate, and the oracle, which is right where any candidate is. With fewer than all candidates, each
figure is the mean over all subsets, or over 64 random ones where there are more, the same for every way of choosing.
Equal candidates are chosen by equal chance.
The intervals are the middle 95 % of resampled questions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from llm.core.console import count_of
from llm.evaluation.suite import Item, Judged, Outcome, Progress, Suite, Table, read_items, wanted
from llm.scoring.final_answers import compared_by, groups_of, note
from llm.scoring.scores import AGGREGATES
from llm.scoring.solutions import solutions_of

SUBSETS, RESAMPLES, SEED = 64, 1000, 0
VOTES = tuple(name for name in AGGREGATES if name != "sum_of_log_odds")  # a vote needs a weight above 0
LOWEST = -math.inf  # of a candidate without a score: it is chosen last

Choose = Callable[[np.ndarray], float]  # candidates of a subset, by number -> the chance that the chosen one is right


@dataclass(frozen=True)
class Candidate:
    is_correct: bool
    answer: str | None


def item_of(place: str, row: dict, subset: str) -> Item:
    (question,) = wanted(place, row, question=str)
    if "candidates" in row:
        (candidates,) = wanted(place, row, candidates=list)
        found = [_candidate(f"{place}, candidate {n}", question, one) for n, one in enumerate(candidates)]
    else:
        found = [_candidate(place, question, row)]
    if not found:
        raise ValueError(f"{place}: candidates is empty. Give at least one, or leave the question out.")
    return Item(place, tuple(record for record, _ in found), tuple(truth for _, truth in found), question)


def _candidate(place: str, question: str, value: Any) -> tuple[Any, Candidate]:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: a candidate is an object with steps or solution, correct, and answer.")
    (correct,) = wanted(place, value, correct=bool)
    given = {name: value[name] for name in ("steps", "solution") if name in value}
    (record,) = solutions_of({"question": question, **given}, place)
    answer = value.get("answer")
    return record, Candidate(correct, None if answer is None else str(answer).strip())


def read(files: Sequence[Path], progress: Progress) -> list[Item]:
    return read_items(files, item_of, progress)


@dataclass(frozen=True)
class Question:
    """n candidates."""

    correct: np.ndarray  # [n] bool
    answers: np.ndarray  # [n] int64, equal for answers that are the same, -1 for none
    values: dict[str, np.ndarray]  # of each aggregate, [n]


def questions_of(judged: list[Judged]) -> list[Question]:
    grouped: dict[str, list[tuple[Candidate, Any]]] = {}
    for item, scores in judged:
        of_each: list[Any] = list(scores) or [None] * len(item.truth)
        grouped.setdefault(item.subset, []).extend(zip(item.truth, of_each, strict=True))
    return [_question(candidates) for candidates in grouped.values()]


def _question(candidates: list[tuple[Candidate, Any]]) -> Question:
    answers = groups_of([one.answer for one, _ in candidates])
    values = {
        name: np.array([LOWEST if scores is None else getattr(scores, name) for _, scores in candidates])
        for name in AGGREGATES
    }
    return Question(np.array([one.is_correct for one, _ in candidates]), np.array(answers), values)


def evaluate(judged: list[Judged], threshold: float) -> Outcome:
    questions = questions_of(judged)
    least = min(len(question.correct) for question in questions)
    has_answers = all((question.answers >= 0).any() for question in questions)
    sizes = [2**power for power in range(least.bit_length()) if 2**power <= least]
    sizes += [least] if sizes[-1] != least else []
    metrics: dict[str, Any] = {"questions": len(questions), "candidates": least, "has_answers": has_answers}
    metrics["answers_compared_by"] = compared_by()
    metrics["by_n"] = {size: _of_size(questions, size, has_answers) for size in sizes}
    ways = list(metrics["by_n"][sizes[0]])
    rows = [(way, *(_with_interval(metrics["by_n"][size][way]) for size in sizes)) for way in ways]
    title = f"share of {count_of(len(questions), 'question')} answered rightly, with 95 % intervals"
    title += f"; {note()}" if has_answers else "; no votes, because not every question has a candidate with an answer"
    return Outcome(metrics, [Table(title, ("chosen by", *(f"N = {size}" for size in sizes)), rows)])


def _of_size(questions: list[Question], size: int, has_answers: bool) -> dict[str, dict[str, float]]:
    """{way of choosing: accuracy and interval}"""
    random = np.random.default_rng([SEED, size])
    of_questions: dict[str, list[float]] = {}
    for question in questions:
        count = len(question.correct)
        subsets = _subsets(count, size, random)
        for way, choose in ways_of(question, has_answers).items():
            of_questions.setdefault(way, []).append(float(np.mean([choose(subset) for subset in subsets])))
        of_questions.setdefault("oracle", []).append(pass_at(count, int(question.correct.sum()), size))
    resampled = np.random.default_rng(SEED).integers(len(questions), size=(RESAMPLES, len(questions)))
    return {way: _interval(np.array(values), resampled) for way, values in of_questions.items()}


def _subsets(count: int, size: int, random: np.random.Generator) -> list[np.ndarray]:
    if math.comb(count, size) <= SUBSETS:
        return [np.array(some) for some in combinations(range(count), size)]
    return [random.permutation(count)[:size] for _ in range(SUBSETS)]


def ways_of(question: Question, has_answers: bool) -> dict[str, Choose]:
    ways: dict[str, Choose] = {"random (pass@1)": lambda some: float(question.correct.mean())}
    if has_answers:
        ways["majority vote"] = lambda some: voted(question, some, np.ones(len(some)))
    ways |= {f"best by {name}": partial(_best, question, question.values[name]) for name in AGGREGATES}
    if has_answers:
        ways |= {f"vote by {name}": partial(_weighted, question, question.values[name]) for name in VOTES}
    return ways


def _best(question: Question, values: np.ndarray, some: np.ndarray) -> float:
    return float(question.correct[some][values[some] == values[some].max()].mean())


def _weighted(question: Question, values: np.ndarray, some: np.ndarray) -> float:
    return voted(question, some, np.maximum(values[some], 0.0))


def voted(question: Question, some: np.ndarray, weights: np.ndarray) -> float:
    """Answers with the most votes, each with equal chance; of an answer, the share of its candidates that are right."""
    answers, correct = question.answers[some], question.correct[some]
    known = answers >= 0
    if not known.any():
        return 0.0
    votes = np.bincount(answers[known], weights=weights[known])
    given = np.unique(answers[known])
    winners = given[votes[given] == votes[given].max()]
    return float(np.mean([correct[answers == winner].mean() for winner in winners]))


def pass_at(count: int, right: int, size: int) -> float:
    """The share of subsets of this size that hold a right one."""
    return 1.0 - math.comb(count - right, size) / math.comb(count, size)


def _interval(values: np.ndarray, resampled: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values[resampled].mean(axis=1), [0.025, 0.975])
    return {"accuracy": float(values.mean()), "low": float(low), "high": float(high)}


def _with_interval(found: dict[str, float]) -> str:
    return f"{found['accuracy']:.3f} ({found['low']:.3f}-{found['high']:.3f})"


def headline(metrics: dict[str, Any]) -> dict[str, float | None]:
    last = metrics["by_n"][max(metrics["by_n"], key=int)]
    names = ("random (pass@1)", "majority vote", "best by min", "best by last", "vote by min", "oracle")
    return {name: last[name]["accuracy"] for name in names if name in last}


SUITE = Suite(
    "best-of-n",
    "question and candidates, or one candidate a row: question, steps or solution, correct, answer",
    None,
    read,
    evaluate,
    headline,
    has_threshold=False,
)
