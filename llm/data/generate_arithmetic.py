"""Write multi-step arithmetic word problems with labelled solutions, in the format that reward training reads.

    python llm/data/generate_arithmetic.py --problems 2000 --output train.jsonl --dev_output dev.jsonl

Each line is a record {"src": [question], "tgt": [], "responses": [steps], "labels": ["+" or "-" a step]}; the
solutions of one question are consecutive and share their first steps. With `--labels preferences` a line is a record
{"src": [question], "tgt": [], "response": [right answer, wrong answer], "sort": [1, 0]}, or the other way round, for
each wrong answer. With `--labels answers` it is {"prompt": question, "response": right answer}, one for each question;
with `--labels none` {"question": question, "steps": [steps], "answer": right answer} for each solution, as search and
label read it; with `--labels texts` {"prompt": "", "response": text}, for a model that knows nothing yet: of four texts
one is a right solution to a problem, the others are pages of exercises. A name that ends with .gz is compressed.

What kind of task this is: a synthetic one, made so that a model of half a million parameters can learn it in minutes on
a CPU. The sentences come from patterns, a question gives its events in the order in which they are solved, a step
repeats its event before it calculates, and all totals are between 1 and 9. To judge a step a model has to know the
operation that its verb means, compare the number given with the number used, and calculate; train and dev share no
question, nor even the same numbers in other words, but the few hundred different equations are in both. It says nothing
about real mathematics.

Labels: with `--labels step` each step is judged by itself, so a step that rightly continues from an earlier
wrong number is "+". With `--labels first-error` every step from the first wrong one on is "-", as Math-Shepherd's
mostly are.

The same arguments write the same bytes, and the first problems do not depend on how many are asked for. Memory
does not grow with the number of problems.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import argparse
import hashlib
import random
from collections.abc import Iterator
from itertools import islice

from llm.core.console import ArgumentParser, bounded, refuse
from llm.data.arithmetic_problem import (
    LARGEST_NUMBER,
    Problem,
    Step,
    make_exercise,
    make_problem,
    make_solutions,
    responses,
)
from llm.data.output import new_file

DEV_SHARE = 10  # one plan in so many belongs to dev
SEEN_BITS = 1 << 27  # 16 MB: of 200,000 questions one in 1,300 is skipped needlessly
MOST_PROBLEMS = SEEN_BITS // 16
MOST_REPEATS = 10_000
PLACEHOLDER = "ки"
WITHOUT_LABELS = {
    "preferences": "pairs of answers",
    "answers": "right answers",
    "none": "without labels",
    "texts": "texts to read",
}
PAGE, PAGES = 8, 3  # exercises that are one text, pages behind a solution


def problems(
    count: int, seed: int = 0, split: str = "train", largest_number: int = LARGEST_NUMBER
) -> Iterator[Problem]:
    """Yield `count` problems of a split, no question twice, the same ones for the same arguments.

    The split is read from a hash of a problem's numbers, so train and dev are apart for all seeds and sizes.
    """
    if count > MOST_PROBLEMS:
        raise ValueError(f"{count} problems were asked for; at most {MOST_PROBLEMS} can be distinct: ask for fewer")
    rng = random.Random(f"{seed} {split}")
    seen = bytearray(SEEN_BITS // 8)  # a question's hash picks a bit: a repeat is never missed
    made = repeats = 0
    while made < count:
        problem = make_problem(rng, largest_number)
        if (_hash(problem.plan) % DEV_SHARE == 0) != (split == "dev"):
            continue
        byte, bit = divmod(_hash(problem.question) % SEEN_BITS, 8)
        if seen[byte] >> bit & 1:
            repeats += 1
            if repeats == MOST_REPEATS:
                raise ValueError(
                    f"after {made} of {count} {split} problems no new question was found in {repeats} attempts "
                    f"with numbers up to {largest_number}: allow larger numbers or ask for fewer problems"
                )
            continue
        seen[byte] |= 1 << bit
        made, repeats = made + 1, 0
        yield problem


def solved(
    count: int, seed: int, split: str, largest_number: int, solutions_per_problem: int
) -> Iterator[tuple[Problem, list[list[Step]]]]:
    """Yield `count` problems with their solutions, of which the first is right."""
    rng = random.Random(f"{seed} {split} solutions")
    for problem in problems(count, seed, split, largest_number):
        yield problem, make_solutions(problem, rng, solutions_per_problem)


def records(
    count: int,
    seed: int = 0,
    split: str = "train",
    largest_number: int = LARGEST_NUMBER,
    solutions_per_problem: int = 4,
    labels: str = "step",
) -> Iterator[dict]:
    """Yield the records of `count` problems, `solutions_per_problem` for each."""
    for problem, solutions in solved(count, seed, split, largest_number, solutions_per_problem):
        for solution in solutions:
            yield {
                "src": [problem.question],
                "tgt": [],
                "responses": responses(solution),
                "labels": label(solution, labels),
            }


def unlabelled(
    count: int,
    seed: int = 0,
    split: str = "train",
    largest_number: int = LARGEST_NUMBER,
    solutions_per_problem: int = 4,
) -> Iterator[dict]:
    """Yield the same solutions with the right answer, of which labels can be made."""
    for problem, solutions in solved(count, seed, split, largest_number, solutions_per_problem):
        answer = str(solutions[0][-1].result)
        for solution in solutions:
            yield {"question": problem.question, "steps": responses(solution), "answer": answer}


def preferences(
    count: int,
    seed: int = 0,
    split: str = "train",
    largest_number: int = LARGEST_NUMBER,
    solutions_per_problem: int = 4,
) -> Iterator[dict]:
    """Yield the pairs of a right and a wrong answer to `count` problems."""
    order = random.Random(f"{seed} {split} order")
    for problem, (right, *others) in solved(count, seed, split, largest_number, solutions_per_problem):
        wrong = [solution for solution in others if not all(step.right for step in solution)]
        better, *worse = ("\n".join(responses(solution)) for solution in (right, *wrong))
        for answer in worse:
            first = order.random() < 0.5
            answers = [better, answer] if first else [answer, better]
            yield {"src": [problem.question], "tgt": [], "response": answers, "sort": [int(first), int(not first)]}


def right_solutions(count: int, seed: int = 0, largest_number: int = LARGEST_NUMBER) -> Iterator[tuple[str, list[str]]]:
    """Yield (question, steps) of right solutions to `count` train problems: text to warm a language model up
    and to train a tokenizer on."""
    rng = random.Random(f"{seed} right solutions")
    for problem in problems(count, seed, "train", largest_number):
        yield problem.question, responses(make_solutions(problem, rng, 1)[0])


def exercises(seed: int = 0, largest_number: int = LARGEST_NUMBER) -> Iterator[str]:
    """Yield exercises without end, each a line that says whether it is right or wrong: what a language model can read
    to learn small numbers before it reads solutions."""
    rng = random.Random(f"{seed} exercises")
    while True:
        text, right = make_exercise(rng, largest_number)
        yield f"{text} {'right' if right else 'wrong'}"


def label(solution: list[Step], labels: str) -> list[str]:
    """The labels of a solution's steps by one of the two rules, "step" or "first-error"."""
    rights = [step.right for step in solution]
    if labels == "first-error":
        rights = [all(rights[: index + 1]) for index in range(len(rights))]
    return ["+" if right else "-" for right in rights]


def answers(count: int, seed: int = 0, split: str = "train", largest_number: int = LARGEST_NUMBER) -> Iterator[dict]:
    """Yield a right answer to each of `count` problems, for fine-tuning."""
    for problem, (solution,) in solved(count, seed, split, largest_number, 1):
        yield {"prompt": f"{problem.question}\n", "response": "\n".join(responses(solution))}


def texts(count: int, seed: int = 0, largest_number: int = LARGEST_NUMBER) -> Iterator[dict]:
    """Yield `count` right solutions, as reward models read them, and pages of exercises after each. From reward labels
    alone, one for 40 tokens, a model that knows nothing learns nothing in minutes: to tell a right step from a wrong
    one it must know the sums and compare what is written in several places."""
    lines = exercises(seed, largest_number)
    for question, steps in right_solutions(count, seed, largest_number):
        pages = ["\n".join(islice(lines, PAGE)) for _ in range(PAGES)]
        for text in (solution_text(question, steps), *pages):
            yield {"prompt": "", "response": text}


def solution_text(question: str, steps: list[str]) -> str:
    """A solution as reward models read it: a blank before the first step, a line break before every other, the
    placeholder behind each."""
    return f"{question} " + "\n".join(f"{step} {PLACEHOLDER}" for step in steps)


def write(path: Path, rows: Iterator[dict]) -> int:
    """Write rows as JSON Lines, gzipped if the name says so, and return their number."""
    with new_file(path) as file:
        for row in rows:
            file.write(row)
    return file.count


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = ArgumentParser("python -m llm generate", description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, help="file of training records, .jsonl or .jsonl.gz")
    parser.add_argument(
        "--problems", type=bounded(int, 1), default=1000, help="number of training problems (default: %(default)s)"
    )
    parser.add_argument("--dev_output", type=Path, help="file of held-out records")
    parser.add_argument(
        "--dev_problems", type=bounded(int, 1), default=200, help="number of held-out problems (default: %(default)s)"
    )
    parser.add_argument(
        "--solutions_per_problem",
        type=bounded(int, 1, 64),
        default=4,
        help="records per problem (default: %(default)s)",
    )
    parser.add_argument(
        "--labels",
        choices=("step", "first-error", *WITHOUT_LABELS),
        default="step",
        help="what a label judges; or pairs of answers, right answers, solutions, or texts to read, without labels "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--largest_number",
        type=bounded(int, 6, 99),
        default=LARGEST_NUMBER,
        help="largest total (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=bounded(int, 0), default=0, help="another seed gives other problems (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    if not (arguments.output or arguments.dev_output):
        parser.error("nothing to write: give --output, --dev_output or both")
    if arguments.labels == "preferences" and arguments.solutions_per_problem < 2:
        parser.error("--labels preferences needs --solutions_per_problem 2 or more: a right answer and a wrong one")
    if arguments.labels == "texts" and arguments.dev_output:
        parser.error("--labels texts is for training alone, as the exercises are the same everywhere: give --output")
    if arguments.output == arguments.dev_output:
        parser.error(f"--output and --dev_output are the same file, {arguments.output}: give two names")
    return arguments


def _rows(wanted: tuple[int, int, str, int, int], labels: str) -> Iterator[dict]:
    count, seed, split, largest_number, _ = wanted
    if labels == "texts":
        return texts(count, seed, largest_number)
    if labels == "answers":
        return answers(count, seed, split, largest_number)
    if labels == "none":
        return unlabelled(*wanted)
    return preferences(*wanted) if labels == "preferences" else records(*wanted, labels)


def main(argv: list[str]) -> None:
    arguments = _arguments(argv)
    for split, path, count in (
        ("train", arguments.output, arguments.problems),
        ("dev", arguments.dev_output, arguments.dev_problems),
    ):
        if path is None:
            continue
        wanted = (count, arguments.seed, split, arguments.largest_number, arguments.solutions_per_problem)
        rows = _rows(wanted, arguments.labels)
        try:
            number = write(path, rows)
        except (OSError, ValueError) as error:
            refuse(f"error: {path} was not written: {error}")
        kind = WITHOUT_LABELS.get(arguments.labels, f"labels by {arguments.labels}")
        print(f"{path}: {number} {split} records of {count} problems, {kind}")


if __name__ == "__main__":
    main(sys.argv[1:])
