"""python -m llm search MODEL INPUT OUTPUT.jsonl --generator ...: solutions that a reward model chooses.

    python -m llm search checkpoints/tiny/prm questions.jsonl best.jsonl --generator arithmetic --n 16
    python -m llm search MODEL questions.jsonl best.jsonl --generator http://127.0.0.1:8000/v1 \\
        --generator_model NAME --strategy beam --n 16 --width 4

INPUT has a question a row (question, or src), and may have its answer. Strategies:
  best-of-n   n solutions, the best one is chosen; with --stop_at as many of them as the question needs
  beam        the best `width` beginnings are kept at every step, each continued in n / width ways
  dvts        `width` subtrees that begin with different steps, each with its own best step
--keep says what a row of OUTPUT is:
  best        the chosen solution, as a record for fine-tuning (prompt, response) with its value
  worst       the solution with the lowest value, likewise
  pairs       both, as a preference (src, response, sort); not where all solutions are equally good
  groups      all of them as ranked answers (src, response, sort), for `python -m llm dpo`; likewise
  candidates  all of them, for `python -m llm evaluate best-of-n`; needs answers
A question without such a row is in OUTPUT.rejects, with the reason. The same command continues a run that was broken
off.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from llm.core.console import ArgumentParser, bounded, count_of, plain_errors
from llm.core.paths import find_files
from llm.scoring.final_answers import answer_of, groups_of, note, same_answer
from llm.scoring.result_file import rejects_of, rows_done, write_row
from llm.scoring.score import add_model_flags, load
from llm.scoring.scores import AGGREGATES
from llm.search.arguments import add_generator_flags, fill_generator_flags, generator_of, made_of, rows_of
from llm.search.generator import Generator
from llm.search.strategies import TREES, Found, Judge, Solution, best_of_n, until_sure

if TYPE_CHECKING:
    from llm.scoring.scorer import Scorer

TREE_DEFAULTS = {"width": 4, "lookahead": 0}
KEEP = ("best", "worst", "pairs", "candidates", "groups")


def main(argv: list[str]) -> None:
    options = _parser().parse_args(argv)
    with plain_errors(ValueError, OSError):
        check(options)
        fill_generator_flags(options)
        files = find_files(options.INPUT)
        rows = rows_of(files, partial(_asked, keep=options.keep))
        generator = generator_of(options, [question for _, question, _ in rows])
        scorer = load(options, options.MODEL, options.convention)
        print(f"{scorer.describe()}\n{note()}", flush=True)
        if options.stop_at is not None and not scorer.convention.interval:
            raise ValueError(f"--stop_at: {options.MODEL} gives no intervals. Train one with reward_head quantile.")
        done = rows_done(options.OUTPUT, {**made_of(options, files), "weights": scorer.weights})
        print(carry_out(rows[done:], done, generator, scorer, options))


def carry_out(
    rows: list[tuple[str, str, dict]], done: int, generator: Generator, scorer: Scorer, options: argparse.Namespace
) -> str:
    """Returns what was found, in words."""
    judge = Judge(scorer.score_each, options.aggregate)
    right: dict[str, float] = {}
    solutions = 0
    rejects = rejects_of(options.OUTPUT)
    with ExitStack() as stack:
        output, rejected = (stack.enter_context(file.open("a", encoding="utf-8")) for file in (options.OUTPUT, rejects))
        bar = stack.enter_context(tqdm(total=done + len(rows), initial=done, desc="questions", disable=None))
        of_each = searches([question for _, question, _ in rows], generator, judge, options)
        for (place, question, row), found in zip(rows, of_each, strict=True):
            judge.known.clear()
            solutions += len(found)
            kept = written(question, row, found, options.keep)
            file = rejected if "error" in kept else output
            write_row(file, {"place": place, **kept})
            file.flush()
            for name, value in counted(found, row.get("answer")).items():
                right[name] = right.get(name, 0) + value
            bar.update()
    before = f", after {done:,} that were there" if done else ""
    each = solutions / max(len(rows), 1)
    lines = [f"{count_of(len(rows), 'question')}{before}, {each:.2f} solutions each: {options.OUTPUT}"]
    with rejects.open("rb") as file_of_rejects:
        count = sum(1 for _ in file_of_rejects)
    if count:
        lines.append(f"{count_of(count, 'question')} without a row there: {rejects} says why")
    else:
        rejects.unlink()
    if why := judge.without_scores:
        lines.append(f"{count_of(len(why), 'solution')} could not be scored, and left out; the first: {why[0]}")
    if of := right.pop("with an answer", 0):
        lines.append(", ".join(f"{name} {count / of:.3f}" for name, count in right.items()) + " answered rightly")
    return "\n".join(lines)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_flags(parser)
    parser.add_argument("INPUT", help="questions: a file, a folder or a pattern")
    parser.add_argument("OUTPUT", type=Path, help="where solutions are written")
    add_generator_flags(parser)
    parser.add_argument("--strategy", choices=("best-of-n", *TREES), default="best-of-n", help="default best-of-n")
    parser.add_argument(
        "--n", type=bounded(int, 1), default=16, help="solutions, or steps that are tried at a time (default 16)"
    )
    parser.add_argument("--width", type=bounded(int, 1), help="of beam and dvts: beginnings that are kept (default 4)")
    parser.add_argument(
        "--lookahead", type=bounded(int, 0), help="of beam and dvts: further steps to judge by (default 0)"
    )
    parser.add_argument(
        "--stop_at",
        type=float,
        help="of best-of-n and a model with a quantile head: no more solutions once the lower end of the best one's "
        "interval is so high",
    )
    parser.add_argument(
        "--at_a_time", type=bounded(int, 1), default=1, help="with --stop_at: new solutions a round (default 1)"
    )
    parser.add_argument("--aggregate", choices=AGGREGATES, default="min", help="of the steps' scores (default min)")
    parser.add_argument("--keep", choices=KEEP, default="best", help="default best")
    return parser


def check(options: argparse.Namespace) -> None:
    """ValueError with all settings that cannot hold; those of trees that were not given become their defaults."""
    is_tree = options.strategy in TREES
    has_no_effect = [f"--{name}" for name in TREE_DEFAULTS if getattr(options, name) is not None and not is_tree]
    for name, default in TREE_DEFAULTS.items():
        if is_tree and getattr(options, name) is None:
            setattr(options, name, default)
    problems = [
        (bool(has_no_effect), f"{' and '.join(has_no_effect)}: of --strategy beam and dvts. Leave it out."),
        (
            is_tree and options.width > options.n,
            f"--width {options.width} is more than --n {options.n}; write {options.n} or less",
        ),
        (
            options.stop_at is not None and options.strategy != "best-of-n",
            f"--stop_at: --strategy {options.strategy} has no number of solutions to spare. Write best-of-n.",
        ),
        (options.stop_at is None and options.at_a_time != 1, "--at_a_time: without --stop_at there is one round"),
    ]
    if found := [text for is_wrong, text in problems if is_wrong]:
        raise ValueError("\n".join(found))


def _asked(place: str, question: str, row: dict, keep: str) -> tuple[str, str, dict]:
    if keep == "candidates" and "answer" not in row:
        raise ValueError(f"{place}: no answer to tell right candidates by, for --keep candidates. Add answers.")
    return place, question, row


def searches(questions: list[str], generator: Generator, judge: Judge, options: argparse.Namespace) -> Iterator[Found]:
    """Of each question solutions and their values, the best first."""
    if options.strategy == "best-of-n" and options.stop_at is None:
        yield from best_of_n(questions, generator, judge, options.n)
        return
    for question in questions:
        if options.stop_at is not None:
            yield until_sure(question, generator, judge, options.n, options.stop_at, options.at_a_time)
        else:
            tree = TREES[options.strategy]
            yield tree(question, generator, judge, options.n, options.width, options.lookahead)


def written(question: str, row: dict, found: Found, keep: str) -> dict[str, Any]:
    """The row of a question, or why there is none."""
    if not found:
        return {"question": question, "error": "the generator ended no solution that can be scored"}
    if keep == "candidates":
        return {"question": question, "candidates": [candidate(one, value, row["answer"]) for one, value in found]}
    if keep == "groups":
        return group(question, found)
    (best, high), (worst, low) = found[0], found[-1]
    if keep == "pairs" and high == low:
        return {"question": question, "error": "all solutions are equally good, so there is no pair"}
    if keep == "pairs":
        answers = ["\n".join(best), "\n".join(worst)]
        return {"src": [prompt_of(question)], "tgt": [], "response": answers, "sort": [1, 0], "margin": high - low}
    steps, value = found[0 if keep == "best" else -1]
    return {"prompt": prompt_of(question), "response": "\n".join(steps), "steps": list(steps), "value": value}


def prompt_of(question: str) -> str:
    """With the line break that ends a base model's prompt."""
    return question if question.endswith("\n") else f"{question}\n"


def group(question: str, found: Found) -> dict[str, Any]:
    """All solutions that differ, ranked by whole numbers: of probabilities, those above one half before the others."""
    values = {"\n".join(solution): round(value) for solution, value in found}
    if len(set(values.values())) < 2:
        return {"question": question, "error": "all solutions are equally good, so there is no pair"}
    return {"src": [prompt_of(question)], "tgt": [], "response": list(values), "sort": list(values.values())}


def candidate(solution: Solution, value: float, answer: Any) -> dict[str, Any]:
    given = answer_of("\n".join(solution))
    return {"steps": list(solution), "answer": given, "correct": same_answer(given, str(answer)), "value": value}


def counted(found: Found, answer: Any) -> dict[str, float]:
    """Of a question with an answer: whether the chosen solution, what votes choose and a random one are right."""
    if answer is None or not found:
        return {"with an answer": answer is not None}
    answers = [answer_of("\n".join(solution)) for solution, _ in found]
    hits = [same_answer(one, str(answer)) for one in answers]
    groups = groups_of(answers)
    voted = {
        "majority vote": winner(groups, [1.0] * len(groups)),
        "vote by value": winner(groups, [max(value, 0.0) for _, value in found]),
    }
    by_vote = {name: one is not None and hits[groups.index(one)] for name, one in voted.items()}
    return {"with an answer": 1, "chosen": hits[0], **by_vote, "one at random": sum(hits) / len(hits), "any": any(hits)}


def winner(groups: list[int], weights: list[float]) -> int | None:
    """The group of answers with the most votes, of equal ones the first; None where no solution has an answer."""
    votes: dict[int, float] = {}
    for group, weight in zip(groups, weights, strict=True):
        if group >= 0:
            votes[group] = votes.get(group, 0.0) + weight
    return max(votes, key=votes.__getitem__, default=None)
