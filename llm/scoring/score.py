"""python -m llm score MODEL INPUT OUTPUT.jsonl: the scores of every solution in a file.

INPUT is JSON Lines or a JSON list, plain or gzip. A row is a record of training data (src, responses; labels are not
needed), a preference record (src and two answers as response), or an object with a question and its steps:

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

from llm.core.console import ArgumentParser, count_of, plain_errors
from llm.core.files import checksum
from llm.core.paths import find_files
from llm.core.records.json_stream import read_values
from llm.core.records.problem import Problem
from llm.scoring.conventions.find import CHOICES
from llm.scoring.interactive import talk
from llm.scoring.result_file import rows_done, write_row
from llm.scoring.scores import THRESHOLD
from llm.scoring.solutions import SPLITS, solutions_of

if TYPE_CHECKING:
    from llm.core.records.records import Record
    from llm.scoring.scorer import Scorer

DTYPES = ("float32", "bfloat16")


def main(argv: list[str]) -> None:
    options = _parser().parse_args(argv)
    if options.interactive != (options.INPUT is None) or options.interactive != (options.OUTPUT is None):
        _parser().error("give MODEL INPUT OUTPUT, or MODEL with --interactive")
    with plain_errors(ValueError, OSError):
        files = find_files(options.INPUT) if options.INPUT else []
        scorer = load(options)
        print(scorer.describe(), flush=True)
        if options.interactive:
            talk(scorer, options.threshold)
        else:
            print(score_files(scorer, files, options))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_flags(parser)
    parser.add_argument("INPUT", nargs="?", help="the solutions: a file, a folder or a pattern")
    parser.add_argument("OUTPUT", nargs="?", type=Path, help="where the scores are written")
    parser.add_argument("--split_steps", choices=SPLITS, help="what separates the steps of a solution that is one text")
    parser.add_argument("--threshold", type=float, default=THRESHOLD, help="a step is right above it (default 0.5)")
    parser.add_argument("--interactive", action="store_true", help="ask for a question and steps, show their scores")
    return parser


def add_model_flags(parser: ArgumentParser) -> None:
    parser.add_argument(
        "MODEL", help="output_dir of a training, one of its checkpoints, LoRA adapters, or a published reward model"
    )
    parser.add_argument("--convention", choices=CHOICES, help="how a published model is read, if its files do not tell")
    parser.add_argument("--reference", help="with --convention implicit: the model that MODEL was trained from")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the weights (default float32)")
    parser.add_argument("--device", help="cpu, gpu or gpu:N; the GPU where this PaddlePaddle has one")


def load(options: argparse.Namespace) -> Scorer:
    from llm.scoring.scorer import Scorer

    names = ("dtype", "device", "convention", "reference")
    return Scorer.load(options.MODEL, **{name: getattr(options, name) for name in names})


def score_files(scorer: Scorer, files: list[Path], options: argparse.Namespace) -> str:
    """Returns a line that says what was done."""
    from llm.scoring.scorer import AT_A_TIME

    made_of = {
        "model": str(Path(options.MODEL).absolute()),
        "weights": scorer.weights,
        "convention": scorer.convention.label,
        "dtype": options.dtype,
        "threshold": options.threshold,
        "split_steps": options.split_steps,
        "input": {str(file): checksum(file) for file in files},
    }
    done = rows_done(options.OUTPUT, made_of)
    start, read, errors = time.monotonic(), 0, 0
    with ExitStack() as stack:
        output = stack.enter_context(options.OUTPUT.open("a", encoding="utf-8"))
        size = sum(file.stat().st_size for file in files)
        bar = stack.enter_context(tqdm(total=size, desc="scoring", unit="B", unit_scale=True, disable=None))
        rows = islice(_rows(files, bar.update), done, None)
        while some := list(islice(rows, AT_A_TIME)):
            for row in _scored(scorer, some, options):
                write_row(output, row)
                errors += "error" in row
            output.flush()
            read += len(some)
    before = f", after {done:,} that were there" if done else ""
    failed = f", {errors:,} of them with an error" if errors else ""
    return f"{count_of(read, 'row')} in {time.monotonic() - start:.1f} s{before}{failed}: {options.OUTPUT}"


def _rows(files: list[Path], progress: Callable[[int], object]) -> Iterator[tuple[str, object]]:
    for file in files:
        for place, value in read_values(file, progress=progress):
            if isinstance(value, Problem) and value.whole_file:
                raise ValueError(str(value))
            yield place, value


def _scored(scorer: Scorer, rows: list[tuple[str, object]], options: argparse.Namespace) -> Iterator[dict]:
    """The rows with their scores, or with what is wrong with them."""
    encoded, of_row, errors = [], [], []
    for place, value in rows:
        try:
            solutions = _solutions(value, place, options.split_steps)
            sequences = [scorer.convention.encode(solution) for solution in solutions]
        except ValueError as error:
            sequences = []
            errors.append(str(error))
        else:
            errors.append("")
        encoded += sequences
        of_row.append(len(sequences))
    scores = iter(scorer.score_encoded(encoded))
    for (_, value), count, problem in zip(rows, of_row, errors, strict=True):
        given = value if isinstance(value, dict) else {}
        own = [one.as_dict(options.threshold) for one in islice(scores, count)]
        if problem:
            yield {**{name: kept for name, kept in given.items() if name != "scores"}, "error": problem}
        else:
            result = own if isinstance(given.get("response"), list) else own[0]
            kept = {name: field for name, field in given.items() if name != "error"}
            yield {**kept, "convention": scorer.convention.label, "scores": result}


def _solutions(value: object, place: str, split_steps: str | None) -> list[Record]:
    if isinstance(value, Problem):
        raise ValueError(str(value))
    return solutions_of(value, place, split_steps)
