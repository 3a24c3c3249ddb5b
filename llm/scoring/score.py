"""python -m llm score MODEL INPUT OUTPUT.jsonl: the scores of every solution in a file.

INPUT is JSON Lines or a JSON list, plain, gzip or zstd. A row is a record of training data (src, responses; labels are
not needed), a preference record (src and two answers as response), or an object with a question and its steps:

    {"question": "2 + 3 + 4?", "steps": ["2 + 3 = 5", "5 + 4 = 9"]}
    {"question": "2 + 3 + 4?", "solution": "2 + 3 = 5\\n\\n5 + 4 = 9"}        with --split_steps blank_line

Each row is written to OUTPUT with its scores, in the same order: the probability of every step, min, last, product,
mean, sum of log-odds, and first_below, the number of the first step (from 0) that is not above the threshold. A row
that cannot be scored is written with an error. The same command continues a run that was broken off.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from llm.core.console import ArgumentParser, bounded, count_of, listed, plain_errors
from llm.core.files import checksum
from llm.core.paths import find_files
from llm.core.records.json_stream import read_values
from llm.core.records.problem import Problem
from llm.scoring.conventions import implicit
from llm.scoring.conventions.find import CHOICES
from llm.scoring.interactive import talk
from llm.scoring.result_file import rows_done, write_row
from llm.scoring.scores import THRESHOLD
from llm.scoring.solutions import SPLITS, solutions_of

if TYPE_CHECKING:
    from llm.core.records.reward_records import Record
    from llm.scoring.scorer import Scorer

DTYPES = ("float32", "bfloat16")
RESULTS = (
    "scores",
    "convention",
    "verdict_flips",
    "error",
)  # what is written, and left out of the input, which may be a result
FLIPS = 20  # shown


def main(argv: list[str]) -> None:
    options = _parser().parse_args(argv)
    if options.interactive != (options.INPUT is None) or options.interactive != (options.OUTPUT is None):
        _parser().error("give MODEL INPUT OUTPUT, or MODEL with --interactive")
    if options.conventions and (options.convention or options.interactive):
        _parser().error("--conventions: scores a file by each of these; leave out --convention and --interactive")
    if options.interactive and options.split_steps:
        _parser().error("--interactive asks for each step by itself; leave out --split_steps")
    with plain_errors(ValueError, OSError):
        files = find_files(options.INPUT) if options.INPUT else []
        scorers = [
            load(options, options.MODEL, convention) for convention in options.conventions or [options.convention]
        ]
        for scorer in scorers:
            print(scorer.describe(), flush=True)
        if options.interactive:
            talk(scorers[0], options.threshold)
        else:
            print(score_files(scorers, files, options))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_flags(parser)
    parser.add_argument("INPUT", nargs="?", help="the solutions: a file, a folder or a pattern")
    parser.add_argument("OUTPUT", nargs="?", type=Path, help="where the scores are written")
    parser.add_argument("--split_steps", choices=SPLITS, help="what separates the steps of a solution that is one text")
    parser.add_argument(
        "--threshold", type=bounded(float, 0, 1), default=THRESHOLD, help="a step is right above it (default 0.5)"
    )
    parser.add_argument(
        "--conventions",
        type=_conventions,
        help="several, such as trl,pure: scores by each, and the rows that they judge differently",
    )
    parser.add_argument("--interactive", action="store_true", help="ask for a question and steps, show their scores")
    return parser


def add_model_flags(parser: ArgumentParser) -> None:
    parser.add_argument(
        "MODEL", help="output_dir of a training, one of its checkpoints, LoRA adapters, or a published reward model"
    )
    add_reading_flags(parser)


def add_reading_flags(parser: ArgumentParser) -> None:
    """How a model is loaded and its scores are read."""
    parser.add_argument("--convention", choices=CHOICES, help="how a published model is read, if its files do not tell")
    parser.add_argument("--reference", help="with --convention implicit: the model that MODEL was trained from")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the weights (default float32)")
    parser.add_argument("--device", help="cpu, gpu or gpu:N; the GPU where this PaddlePaddle has one")
    parser.add_argument("--calibrated", action="store_true", help="scores as python -m llm calibrate has fitted them")


def load(options: argparse.Namespace, model: str, convention: str | None) -> Scorer:
    from llm.scoring.scorer import Scorer

    if options.reference and implicit.NAME not in (convention, *(getattr(options, "conventions", None) or [])):
        raise ValueError(f"--reference: only --convention {implicit.NAME} compares with one. Leave it out.")
    reference = options.reference if convention == implicit.NAME else None
    return Scorer.load(model, options.dtype, options.device, convention, reference, options.calibrated)


def _conventions(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in CHOICES]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known are {', '.join(CHOICES)}")
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text} names a convention twice")
    return names


def score_files(scorers: list[Scorer], files: list[Path], options: argparse.Namespace) -> str:
    """Returns lines that say what was done."""
    from llm.scoring.scorer import AT_A_TIME

    made_of = {
        "model": str(Path(options.MODEL).absolute()),
        "weights": scorers[0].weights,
        "conventions": [scorer.convention.label for scorer in scorers],
        "dtype": options.dtype,
        "calibration": [scorer.calibration and scorer.calibration.describe() for scorer in scorers],
        "threshold": options.threshold,
        "split_steps": options.split_steps,
        "input": {str(file): checksum(file) for file in files},
    }
    done = rows_done(options.OUTPUT, made_of)
    start, read, errors, flips = time.monotonic(), 0, 0, []
    with ExitStack() as stack:
        output = stack.enter_context(options.OUTPUT.open("a", encoding="utf-8"))
        size = sum(file.stat().st_size for file in files)
        bar = stack.enter_context(tqdm(total=size, desc="scoring", unit="B", unit_scale=True, disable=None))
        rows = islice(_rows(files, bar.update), done, None)
        while some := list(islice(rows, AT_A_TIME)):
            for (place, _), row in zip(some, _scored(scorers, some, options), strict=True):
                write_row(output, row)
                errors += "error" in row
                if row.get("verdict_flips"):
                    flips.append(place)
            output.flush()
            read += len(some)
    before = f", after {done:,} that were there" if done else ""
    failed = f", {errors:,} of them with an error" if errors else ""
    lines = [f"{count_of(read, 'row')} in {time.monotonic() - start:.1f} s{before}{failed}: {options.OUTPUT}"]
    if len(scorers) > 1:
        lines.append(
            f"verdicts that depend on the convention: {count_of(len(flips), 'row')} {listed(flips, FLIPS)}".rstrip()
        )
    return "\n".join(lines)


def _rows(files: list[Path], progress: Callable[[int], object]) -> Iterator[tuple[str, object]]:
    for file in files:
        for place, value in read_values(file, progress=progress):
            if isinstance(value, Problem) and value.whole_file:
                raise ValueError(str(value))
            yield place, value


def _scored(scorers: list[Scorer], rows: list[tuple[str, object]], options: argparse.Namespace) -> Iterator[dict]:
    """The rows with their scores, or with what is wrong with them."""
    solutions = [_solutions(value, place, options.split_steps) for place, value in rows]
    by_scorer = [scorer.score_groups(solutions) for scorer in scorers]
    for (_, value), *of_row in zip(rows, *by_scorer, strict=True):
        given = value if isinstance(value, dict) else {}
        kept = {name: field for name, field in given.items() if name not in RESULTS}
        if problems := [found for found in of_row if isinstance(found, str)]:
            yield {**kept, "error": problems[0]}
            continue
        shown = [[one.as_dict(options.threshold) for one in found] for found in of_row]
        results = [found if isinstance(given.get("response"), list) else found[0] for found in shown]
        if len(scorers) == 1:
            yield {**kept, "convention": scorers[0].convention.label, "scores": results[0]}
            continue
        verdicts = {tuple(one.first_below(options.threshold) is None for one in found) for found in of_row}
        labels = [scorer.convention.label for scorer in scorers]
        yield {**kept, "scores": dict(zip(labels, results, strict=True)), "verdict_flips": len(verdicts) > 1}


def _solutions(value: object, place: str, split_steps: str | None) -> list[Record] | str:
    """Of a row, or what is wrong with it."""
    if isinstance(value, Problem):
        return str(value)
    try:
        return solutions_of(value, place, split_steps)
    except ValueError as error:
        return str(error)
