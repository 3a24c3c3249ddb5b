"""How right labels made without people are, on arithmetic problems, where the true labels are known."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm.benchmark.report import ONE, SHARE, TEXT, WHOLE, progress, show, table
from llm.core.console import count_of
from llm.data.arithmetic_problem import Problem
from llm.data.generate_arithmetic import problems
from llm.search import arithmetic
from llm.search.arithmetic import ArithmeticGenerator
from llm.search.monte_carlo import HARD, Completions, Labels, agreed, estimate, first_error, hardened

if TYPE_CHECKING:
    from llm.scoring.scorer import Scorer

COLUMNS = {
    "method": ("method", TEXT),
    "n": ("n", WHOLE),
    "precision": ("precision", SHARE),
    "recall": ("recall", SHARE),
    "labelled": ("labelled steps", SHARE),
    "completions": ("completions of a solution", ONE),
}
WRITER_SEED, LABELLER_SEED = 1, 0  # the solutions are not among the completions


@dataclass(frozen=True)
class Solution:
    problem: Problem
    steps: tuple[str, ...]
    judged: tuple[float, ...] | None  # by a second judge


def main(arguments: argparse.Namespace, set_here: dict[str, str]) -> None:
    known = {problem.question: problem for problem in problems(arguments.problems, split="dev")}
    solutions = written(known, arguments)
    generator = ArithmeticGenerator(known, arguments.error, LABELLER_SEED)
    rows = []
    for n in arguments.n:
        progress(f"n = {n}")
        rows += rows_of(solutions, generator, n)
    rows.sort(key=lambda row: (row["method"], row["n"]))
    wrong = sum(label == 0 for one in solutions for label in arithmetic.true_labels(one.problem, one.steps))
    show(
        f"{count_of(len(solutions), 'solution')} to {count_of(len(known), 'problem')}, "
        f"{sum(len(one.steps) for one in solutions):,} steps, {wrong:,} of them wrong: after them the total is not the "
        f"right one. Completions err in {arguments.error:.0%} of their steps, solutions in "
        f"{arguments.solution_error:.0%}.",
        table(COLUMNS, rows),
        "precision: of the steps labelled wrong, the share that is wrong; recall: of the wrong steps with a label, "
        "the share labelled wrong; labelled steps: those with a label, of all. Solutions to a problem share the "
        "completions of common beginnings.",
        outcome={"benchmark": "labels", "solutions": len(solutions), "wrong": wrong, "rows": rows},
    )


def written(known: dict[str, Problem], arguments: argparse.Namespace) -> list[Solution]:
    writer = ArithmeticGenerator(known, arguments.solution_error, WRITER_SEED)
    found = [
        (problem, tuple(steps))
        for problem in known.values()
        for steps in writer.complete(problem.question, (), arguments.solutions)
    ]
    judged: Iterable[tuple[float, ...] | None] = [None] * len(found)
    if arguments.judge:
        judged = judge(arguments.judge).score({"question": p.question, "steps": list(steps)} for p, steps in found)
        judged = [tuple(scores.steps) for scores in judged]
    return [Solution(problem, steps, p) for (problem, steps), p in zip(found, judged, strict=True)]


def judge(folder: str) -> Scorer:
    from llm.scoring.scorer import Scorer

    scorer = Scorer.load(folder)
    if not scorer.convention.of_steps:
        raise ValueError(f"--judge {folder}: this model scores whole answers. Give a process reward model.")
    return scorer


def rows_of(solutions: list[Solution], generator: ArithmeticGenerator, n: int) -> list[dict]:
    """Of every method with n completions; with a judge, also of the labels that it agrees with."""
    of_estimate, of_halving = Completions(generator, n), Completions(generator, n)
    labels: dict[str, list[Labels]] = {f"estimate, {rule}": [] for rule in HARD} | {"first-error": []}
    for one in solutions:
        asked = one.problem.question, arithmetic.answer(one.problem), one.steps
        shares = estimate(*asked, of_estimate)
        for rule in HARD:
            labels[f"estimate, {rule}"].append(hardened(shares, rule, "keep"))
        labels["first-error"].append(first_error(*asked, of_halving))
    rows = []
    for method, found in labels.items():
        made = (of_halving if method == "first-error" else of_estimate).made
        rows.append({"method": method, "n": n, **quality(solutions, found), "completions": made / len(solutions)})
        if all(one.judged for one in solutions):
            kept = [agreed(some, one.judged or ()) for some, one in zip(found, solutions, strict=True)]
            rows.append(rows[-1] | {"method": f"{method}, judge agrees", **quality(solutions, kept)})
    return rows


def quality(solutions: list[Solution], labels: list[Labels]) -> dict[str, float | None]:
    """A label is "wrong" if it is not above 0.5."""
    steps = [
        (label, truth)
        for one, found in zip(solutions, labels, strict=True)
        for label, truth in zip(found, arithmetic.true_labels(one.problem, one.steps), strict=True)
    ]
    known = [(label <= 0.5, truth == 0) for label, truth in steps if label is not None]
    hits = sum(said and wrong for said, wrong in known)
    said, wrong = sum(said for said, _ in known), sum(wrong for _, wrong in known)
    return {
        "precision": hits / said if said else None,
        "recall": hits / wrong if wrong else None,
        "labelled": len(known) / len(steps),
    }
