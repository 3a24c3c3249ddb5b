"""The scores of items: by a model, into a file that a broken run continues, or as given in a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from tqdm import tqdm

from llm.core.console import count_of, problem_list
from llm.core.files import checksum
from llm.core.paths import find_files
from llm.core.records.json_stream import read_values
from llm.core.records.problem import Problem, excerpt
from llm.core.records.reading_bar import reading_bar
from llm.core.strict_json import object_of
from llm.evaluation.suite import BadData, Item, Judged, Suite
from llm.scoring.result_file import rows_done, write_row
from llm.scoring.score import load
from llm.scoring.scores import DIGITS, Scores

if TYPE_CHECKING:
    from llm.scoring.scorer import Scorer

LEAST = 1e-12  # a given probability of 0 or 1 is taken to be so far from it


def by_steps_model(suite: Suite, options: argparse.Namespace, what: str) -> tuple[Scorer, list[Judged]]:
    """The data of the command line, scored by its process reward model; `what` is about steps."""
    files = find_files(options.DATA, suite.suffixes)
    with reading_bar(files, sys.stderr.isatty()) as progress:
        items = suite.read(files, progress)
    scorer = load(options, options.MODEL, options.convention)
    if not scorer.convention.of_steps:
        raise ValueError(f"{options.MODEL}: this model scores whole answers; {what} about steps")
    options.output.mkdir(parents=True, exist_ok=True)
    return scorer, by_model(scorer, options.MODEL, items, files, options.output / "scores.jsonl")


def by_model(scorer: Scorer, model: str, items: list[Item], files: Sequence[Path], output: Path) -> list[Judged]:
    """Scores are in `output` after each group of items; those that are there are not computed again. An item that
    cannot be scored has none."""
    from llm.scoring.scorer import AT_A_TIME

    made_of = {
        "model": str(Path(model).absolute()),
        "weights": scorer.weights,
        "convention": scorer.convention.label,
        "dtype": scorer.dtype,
        "calibration": scorer.calibration and scorer.calibration.describe(),
        "input": {str(file): checksum(file) for file in files},
        "items": len(items),
    }
    done = rows_done(output, made_of)
    with ExitStack() as stack:
        file = stack.enter_context(output.open("a", encoding="utf-8"))
        bar = stack.enter_context(tqdm(total=len(items), initial=done, desc="scoring", unit="row", disable=None))
        left = iter(items[done:])
        while some := list(islice(left, AT_A_TIME)):
            for item, scores in zip(some, scorer.score_groups([item.solutions for item in some]), strict=True):
                write_row(file, {"place": item.place, **_as_row(scores)})
            file.flush()
            bar.update(len(some))
    kept = list(_kept(output, scorer.convention.of_steps))
    if len(kept) != len(items):
        raise ValueError(
            f"{output} has {count_of(len(kept), 'row')} for {count_of(len(items), 'row')} of data. Delete it, and "
            "start the same command again."
        )
    return list(zip(items, kept, strict=True))


def _as_row(scores: list[Scores] | str) -> dict[str, Any]:
    if isinstance(scores, str):
        return {"error": scores}
    row = {"log_odds": [one.log_odds.round(DIGITS).tolist() for one in scores]}
    intervals = [one.interval.round(DIGITS).tolist() for one in scores if one.interval is not None]
    return row | ({"intervals": intervals} if intervals else {})


def _kept(output: Path, of_steps: bool) -> Iterator[list[Scores]]:
    """What _as_row has made; ValueError where a line is something else."""
    with output.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = object_of(line, f"line {number}")
                log_odds = row.get("log_odds", [])
                intervals = row.get("intervals", [None] * len(log_odds))
                scores = [
                    Scores(_numbers(r, 1), of_steps, None if ends is None else _numbers(ends, 2))
                    for r, ends in zip(log_odds, intervals, strict=True)
                ]
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(
                    f"{output} was damaged ({error}). Delete it, and start the same command again."
                ) from None
            yield scores


def _numbers(values: Any, dimensions: int) -> np.ndarray:
    array = np.array(values, "float64")
    if array.ndim != dimensions:
        raise ValueError(f"{excerpt(values)} in place of numbers")
    return array


def as_given(file: Path, items: list[Item]) -> list[Judged]:
    """One line for each row of the data, in its order: what `python -m llm score` writes, or {"scores": [p, ...]} with
    a probability for each step, or a list of such lists where a row has several solutions."""
    rows = list(read_values(file))
    if unread := [str(value) for _, value in rows if isinstance(value, Problem)]:
        raise BadData(problem_list(unread))
    if len(rows) != len(items):
        raise BadData(f"{file}: {count_of(len(rows), 'row')} of scores for {count_of(len(items), 'row')} of data.")
    judged, problems = [], []
    for (place, value), item in zip(rows, items, strict=True):
        try:
            judged.append((item, _given(place, value, item)))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise BadData(problem_list(problems))
    return judged


def _given(place: str, value: object, item: Item) -> list[Scores]:
    if isinstance(value, dict) and "error" in value:
        return []
    if isinstance(value, dict) and "scores" in value:
        _check_steps(place, value, item)
    scores = value.get("scores") if isinstance(value, dict) else None
    several = scores if isinstance(scores, list) and scores and isinstance(scores[0], list | dict) else [scores]
    if len(several) != len(item.solutions):
        raise ValueError(f"{place}: scores of {len(several)} solutions; {item.place} has {len(item.solutions)}.")
    return [
        _of_solution(place, one, len(solution.steps)) for one, solution in zip(several, item.solutions, strict=True)
    ]


def _check_steps(place: str, row: dict, item: Item) -> None:
    """Where a row has kept the steps that it scores, they are those of the data."""
    for name in ("steps", "responses"):
        steps = row.get(name)
        if isinstance(steps, list) and all(isinstance(step, str) for step in steps):
            if tuple(map(str.strip, steps)) not in [tuple(map(str.strip, one.steps)) for one in item.solutions]:
                raise ValueError(f"{place}: these are scores of other steps than those of {item.place}.")


def _of_solution(place: str, given: object, steps: int) -> Scores:
    if not isinstance(given, dict):
        return Scores(_log_odds(place, given, steps))
    ends = [given[name] for name in ("low", "high") if name in given]
    if len(ends) == 1:
        raise ValueError(f"{place}: an interval with one end. Give low and high, or neither.")
    if of_answer := "reward" in given:
        if not _is_number(given["reward"]):
            raise ValueError(f"{place}: reward is {excerpt(given['reward'])}. It is a finite number.")
        steps, ends, log_odds = 1, [[end] for end in ends], np.array([float(given["reward"])])
    else:
        log_odds = _log_odds(place, given.get("steps"), steps)
    interval = np.stack([_log_odds(place, end, steps) for end in ends]) if ends else None
    return Scores(log_odds, not of_answer, interval)


def _log_odds(place: str, values: object, steps: int) -> np.ndarray:
    if not isinstance(values, list) or not all(_is_probability(p) for p in values):
        raise ValueError(f"{place}: scores are {excerpt(values)}. They are a list of probabilities, one for each step.")
    if len(values) != steps:
        raise ValueError(f"{place}: {count_of(len(values), 'score')} for {count_of(steps, 'step')}.")
    p = np.clip(np.array(values, "float64"), LEAST, 1 - LEAST)
    return np.log(p) - np.log1p(-p)


def _is_probability(value: object) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_number(value: object) -> TypeGuard[float]:
    """That a float can hold; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
