"""python -m llm label INPUT OUTPUT.jsonl --generator ...: labels of steps without people.

    python -m llm label solutions.jsonl labelled.jsonl --generator arithmetic --n 8
    python -m llm label solutions.jsonl labelled.jsonl --generator http://127.0.0.1:8000/v1 --generator_model NAME \\
        --method first-error --judge MODEL

INPUT has a solution a row: question (or src), steps (or responses), and the right answer. OUTPUT has records of
training (src, responses, labels) and says how each label was made. Methods:
  estimate     n completions from every step; the label is the share that reaches the answer (--rule soft), whether it
               is at least half (hard), or whether any does (any)
  first-error  the first step from which no completion reaches the answer, by halving; nothing is said behind it
--judge MODEL (or the URL of its server, or a file of its scores) keeps only labels that a second reward model agrees
with. --behind_error drop leaves out the labels behind
the first wrong step. Solutions to one question are completed from each beginning once, whoever shares it. The same
command continues a run that was broken off.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from llm.core.console import ArgumentParser, bounded, count_of, plain_errors
from llm.core.paths import find_files
from llm.core.records.problem import excerpt
from llm.scoring.final_answers import compared_by, note
from llm.scoring.result_file import rows_done, write_row
from llm.scoring.score import add_reading_flags
from llm.search.arguments import add_generator_flags, fill_generator_flags, generator_of, made_of, rows_of, settings_of
from llm.search.judges import judge_of
from llm.search.monte_carlo import HARD, Completions, Labels, agreed, estimate, first_error, hardened

METHODS = {"estimate": estimate, "first-error": first_error}


def main(argv: list[str]) -> None:
    options = _parser().parse_args(argv)
    with plain_errors(ValueError, OSError):
        check(options)
        fill_generator_flags(options)
        files = find_files(options.INPUT)
        rows = rows_of(files, _solution)
        completions = Completions(generator_of(options, [question for question, _, _ in rows]), options.n)
        print(note())
        judge, identity = judge_of(options, rows) if options.judge else (None, None)
        done = rows_done(options.OUTPUT, {**made_of(options, files), "judge_weights": identity})
        kept, total = 0, 0
        with ExitStack() as stack:
            output = stack.enter_context(options.OUTPUT.open("a", encoding="utf-8"))
            bar = stack.enter_context(tqdm(total=len(rows), initial=done, desc="solutions", disable=None))
            before = ""
            for number, (question, steps, answer) in islice(enumerate(rows), done, None):
                if question != before:
                    completions.known.clear()
                before = question
                labels = labels_of(question, answer, steps, completions, options)
                if judge:
                    labels = agreed(labels, judge(number, question, steps))
                write_row(output, record(question, answer, steps, labels, options))
                output.flush()
                kept += sum(label is not None for label in labels)
                total += len(steps)
                bar.update()
        print(
            f"{count_of(len(rows) - done, 'solution')}, {total:,} steps, {kept:,} labels by "
            f"{completions.made:,} completions: {options.OUTPUT}"
        )


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("INPUT", help="solutions: a file, a folder or a pattern")
    parser.add_argument("OUTPUT", type=Path, help="where labelled records are written")
    add_generator_flags(parser)
    parser.add_argument("--method", choices=METHODS, default="estimate", help="default estimate")
    parser.add_argument("--n", type=bounded(int, 1), default=8, help="completions from a step (default 8)")
    parser.add_argument("--rule", choices=HARD, help="of estimate (default soft)")
    parser.add_argument("--behind_error", choices=("keep", "drop"), default="keep", help="default keep")
    parser.add_argument(
        "--judge",
        help="whose verdicts labels must agree with: a process reward model, the URL of a server of python -m llm "
        "serve, or a file of scores of INPUT, as python -m llm score writes it",
    )
    add_reading_flags(parser)
    return parser


def check(options: argparse.Namespace) -> None:
    """ValueError with all settings that have no effect; the rule of estimate becomes its default."""
    problems = []
    if options.method != "estimate" and options.rule:
        problems.append(f"--rule: {options.method} has labels 0 and 1 without one. Leave it out.")
    elif options.method == "estimate" and not options.rule:
        options.rule = "soft"
    of_judge = [f"--{name}" for name in ("convention", "reference", "calibrated") if getattr(options, name)]
    if of_judge and not (options.judge and Path(options.judge).is_dir()):
        problems.append(f"{', '.join(of_judge)}: says how a model is read, and --judge names none. Leave it out.")
    if problems:
        raise ValueError("\n".join(problems))


def _solution(place: str, question: str, row: dict) -> tuple[str, tuple[str, ...], str]:
    steps, answer = row.get("steps", row.get("responses")), row.get("answer")
    problems = []
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) and step.strip() for step in steps):
        problems.append(f"{place}: steps are {excerpt(steps)}. They are a list of texts, as steps or responses.")
    if not isinstance(answer, str | int | float) or isinstance(answer, bool):
        problems.append(f"{place}: answer is {excerpt(answer)}. It is the right answer, a text or a number.")
    if problems:
        raise ValueError("\n".join(problems))
    return question, tuple(step.strip() for step in steps or ()), str(answer)


def labels_of(
    question: str,
    answer: str,
    steps: tuple[str, ...],
    completions: Completions,
    options: argparse.Namespace,
) -> Labels:
    labels = METHODS[options.method](question, answer, steps, completions)
    return hardened(labels, options.rule or "soft", options.behind_error)


def record(
    question: str, answer: str, steps: tuple[str, ...], labels: Labels, options: argparse.Namespace
) -> dict[str, Any]:
    made = {
        "method": options.method,
        "rule": options.rule,
        "completions": options.n,
        "generator": options.generator,
        "settings": settings_of(options),
        "judge": options.judge,
        "answers": compared_by(),
    }
    return {
        "src": [question],
        "tgt": [],
        "responses": list(steps),
        "labels": labels,
        "answer": answer,
        "labelled_by": made,
    }
