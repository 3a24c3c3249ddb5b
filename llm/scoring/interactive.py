"""Scores at the terminal: a question, its steps, and each step in the colour of its score."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from llm.scoring.solutions import solutions_of

if TYPE_CHECKING:
    from llm.scoring.scorer import Scorer
    from llm.scoring.scores import Scores

RED, YELLOW, GREEN, PLAIN = "\033[31m", "\033[33m", "\033[32m", "\033[0m"
DOUBTFUL, LIKELY = 0.4, 0.6


def talk(scorer: Scorer, threshold: float, ask: Callable[[str], str] = input) -> None:
    """Until the end of the input, or a blank question. What ends the input also ends the steps before it."""
    print("A question, then its steps, each on a line of its own; a blank line ends the steps, a blank question all.")
    in_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    while question := _asked("question> ", ask):
        steps: list[str] = []
        while step := _asked(f"step {len(steps) + 1}> ", ask):
            steps.append(step)
        try:
            (solution,) = solutions_of({"question": question, "steps": steps}, "this solution")
            (scores,) = scorer.score_records([solution])
        except ValueError as error:
            print(error)
            continue
        print("\n".join(lines_of(scores, steps, threshold, in_colour)))


def _asked(prompt: str, ask: Callable[[str], str]) -> str:
    """A line without the white space around it; nothing at the end of the input."""
    try:
        return ask(prompt if sys.stdin.isatty() else "").strip()
    except EOFError:
        print()
        return ""


def lines_of(scores: Scores, steps: list[str], threshold: float, in_colour: bool) -> list[str]:
    if not scores.of_steps:
        return [f"score {scores.last:.3f}, reward {scores.reward:.3f}"]
    ends = scores.low and scores.high and list(zip(scores.low.steps, scores.high.steps, strict=True))
    intervals = [f" ({low:.3f} to {high:.3f})" for low, high in ends] if ends else [""] * len(steps)
    rows = zip(scores.steps, intervals, steps, strict=True)
    lines = [_coloured(f"  {p:.3f}{interval}  {step}", p, in_colour) for p, interval, step in rows]
    first = scores.first_below(threshold)
    judgement = "every step is judged right" if first is None else f"the first step judged wrong is step {first + 1}"
    return [*lines, f"  min {scores.min:.3f}, product {scores.product:.3f}; {judgement}"]


def _coloured(text: str, p: float, in_colour: bool) -> str:
    colour = GREEN if p > LIKELY else RED if p < DOUBTFUL else YELLOW
    return f"{colour}{text}{PLAIN}" if in_colour else text
