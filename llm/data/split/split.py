"""python -m llm split DATA --output_dir DIR: training, held-out and test data out of one data set.

    python -m llm split DATA... --output_dir DIR [--dev_ratio R | --dev_count N] [--test_ratio R | --test_count N]
                                [--limit N] [--seed N] [--gzip] [--overwrite]

DATA is what train_dataset_path may be. Records are written as they are, one on a line, to train.jsonl, dev.jsonl and
test.jsonl in DIR. All records of a question go to the same file, and every file has the same share of "+". The same
seed gives the same files. --limit N alone cuts a small data set out of a large one.
"""

from __future__ import annotations

import argparse
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from llm.core.console import ArgumentParser, bounded, count_of, plain_errors
from llm.core.paths import find_files
from llm.core.records.reading_bar import reading_bar
from llm.core.records.records import ReadCounts, find_form, iter_records
from llm.core.records.reward_records import LABELLED
from llm.data.output import check_outputs
from llm.data.split.draw import Questions, draw
from llm.data.written_records import NOWHERE, copy_records, stamps

TRAIN, DEV, TEST = 1, 2, 3
NAMES = {TRAIN: "train", DEV: "dev", TEST: "test"}
PLAIN, ZIPPED = ".jsonl", ".jsonl.gz"
EXAMPLE = "example:\n  python -m llm split data/*.jsonl --output_dir data/split --dev_ratio 0.05 --test_ratio 0.05"
NO_QUESTION = -1  # of a record that is left out because it is bad


def main(argv: list[str]) -> None:
    arguments = _parse(argv)
    with plain_errors(ValueError, OSError):
        print("\n".join(split(arguments)))


def split(arguments: argparse.Namespace) -> list[str]:
    """Writes the files; returns what is said about them."""
    files = find_files(arguments.data)
    outputs = _outputs(arguments)
    check_outputs(list(outputs.values()), files, arguments.overwrite)
    _check_folder(arguments.output_dir, outputs)
    read_at, bar = stamps(files), sys.stderr.isatty()
    counts, questions = ReadCounts(), Questions()
    with reading_bar(files, bar) as progress:
        question_of_record = _first_pass(files, arguments, counts, questions, progress)
    parts = divide(questions, arguments)
    where = [NOWHERE] * (len(questions.records) + 1)  # the last one is that of NO_QUESTION
    for part, numbers in parts.items():
        for number in numbers:
            where[number] = part
    destinations = bytes(where[number] for number in question_of_record)
    with reading_bar(files, bar) as progress:
        copy_records(files, read_at, destinations, outputs, progress)
    return list(_describe(counts, questions, parts, outputs))


def _first_pass(
    files: list[Path],
    arguments: argparse.Namespace,
    counts: ReadCounts,
    questions: Questions,
    progress: Callable[[int], object],
) -> array:
    """The number of every record's question."""
    numbers = array("i")
    form, _ = find_form(files) or (LABELLED, "")
    tokens = [token.strip() for token in arguments.reward_tokens.split(",")]
    for record in iter_records(files, tokens, counts, arguments.skip_bad_records, form, progress):
        numbers.extend([NO_QUESTION] * (counts.read - 1 - len(numbers)))
        numbers.append(questions.add(record))
    numbers.extend([NO_QUESTION] * (counts.read - len(numbers)))
    return numbers


def divide(questions: Questions, arguments: argparse.Namespace) -> dict[int, list[int]]:
    """The questions of every part that is asked for; ValueError if one gets none."""
    order, records = questions.in_order(arguments.seed), questions.records
    if arguments.limit is not None:
        order = draw(order, records, min(arguments.limit, sum(records)))
    total = sum(records[number] for number in order)
    parts = {}
    for part, ratio, count in (
        (TEST, arguments.test_ratio, arguments.test_count),
        (DEV, arguments.dev_ratio, arguments.dev_count),
    ):
        if ratio is not None or count is not None:
            wanted = min(round(total * ratio) if count is None else count, total)
            parts[part] = draw(order, records, wanted)
            taken = set(parts[part])
            order = [number for number in order if number not in taken]
    parts[TRAIN] = order
    if empty := [NAMES[part] for part in sorted(parts) if not parts[part]]:
        largest = max(records)
        raise ValueError(
            f"no question is left for {' and '.join(empty)}: there are {count_of(total, 'record')} of "
            f"{count_of(len(records), 'question')}, up to {largest:,} of one, and those of a question stay together. "
            "Ask for other numbers of records, or give more data."
        )
    return dict(sorted(parts.items()))


def _describe(
    counts: ReadCounts, questions: Questions, parts: dict[int, list[int]], outputs: dict[int, Path]
) -> Iterator[str]:
    everything = range(len(questions.records))
    yield f"read: {_content(questions, everything)}"
    for reason, number in counts.dropped.items():
        yield f"  {count_of(number, 'record')} left out: {reason}"
    for part, numbers in parts.items():
        yield f"{outputs[part]}: {_content(questions, numbers)}"
    unused = set(everything).difference(*parts.values())
    if unused:
        yield f"not used: {_content(questions, unused)}"


def _content(questions: Questions, numbers: Iterable[int]) -> str:
    numbers = list(numbers)
    records, labels = (sum(of[number] for number in numbers) for of in (questions.records, questions.labels))
    text = f"{count_of(records, 'record')} of {count_of(len(numbers), 'question')}"
    if not labels:
        return text
    positive = sum(questions.positive[number] for number in numbers)
    return f"{text}; {count_of(labels, 'labelled step')}, {positive / labels:.1%} of them +"


def _outputs(arguments: argparse.Namespace) -> dict[int, Path]:
    asked = {
        TRAIN: True,
        DEV: arguments.dev_ratio is not None or arguments.dev_count is not None,
        TEST: arguments.test_ratio is not None or arguments.test_count is not None,
    }
    if not (asked[DEV] or asked[TEST] or arguments.limit is not None):
        raise ValueError("nothing to split off; give --dev_ratio, --dev_count, --test_ratio, --test_count or --limit.")
    if (arguments.dev_ratio or 0) + (arguments.test_ratio or 0) >= 1:
        raise ValueError("--dev_ratio and --test_ratio leave nothing to train on; together they must be below 1.")
    suffix = ZIPPED if arguments.gzip else PLAIN
    return {part: arguments.output_dir / f"{NAMES[part]}{suffix}" for part, wanted in asked.items() if wanted}


def _check_folder(folder: Path, outputs: dict[int, Path]) -> None:
    """Files of an earlier split would be taken for parts of this one."""
    written = [folder / f"{name}{suffix}" for name in NAMES.values() for suffix in (PLAIN, ZIPPED)]
    others = [str(path) for path in written if path.exists() and path not in outputs.values()]
    if others:
        raise ValueError(
            f"{', '.join(others)}: of another split, whose questions may be in the new files, too. "
            "Remove it, or give another --output_dir."
        )


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m llm split",
        description="Training, held-out and test data out of one data set: all records of a question go to the same "
        "file, every file has about the same share of +, and records stay as they are written.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", metavar="DATA", nargs="+", help="files, folders or patterns, as train_dataset_path")
    parser.add_argument(
        "--output_dir", metavar="DIR", type=Path, required=True, help="gets train.jsonl, dev.jsonl and test.jsonl"
    )
    for name, what in (("dev", "held-out data (dev.jsonl)"), ("test", "test data (test.jsonl)")):
        size = parser.add_mutually_exclusive_group()
        size.add_argument(f"--{name}_ratio", metavar="R", type=_ratio, help=f"share of the records for {what}")
        size.add_argument(
            f"--{name}_count", metavar="N", type=bounded(int, 1), help=f"at most so many records for {what}"
        )
    parser.add_argument(
        "--limit", metavar="N", type=bounded(int, 1), help="use at most N records in all: a cut to try code on"
    )
    parser.add_argument(
        "--seed", metavar="N", type=bounded(int, 0, 2**64 - 1), default=0, help="another seed gives other files (0)"
    )
    parser.add_argument("--reward_tokens", metavar="P,N", default="+,-", help="labels of right and wrong steps (+,-)")
    parser.add_argument("--skip_bad_records", action="store_true", help="leave out and count records that are bad")
    parser.add_argument("--gzip", action="store_true", help="write .jsonl.gz")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    return parser.parse_args(argv)


def _ratio(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
