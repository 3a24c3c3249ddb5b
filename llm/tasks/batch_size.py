"""python -m llm batch-size CONFIG.json --solutions 128: which token budget gives updates of about so many solutions.

    python -m llm batch-size CONFIG.json --solutions 128 [--group_size 8] [--key value ...]

The data of the configuration is packed as in training. A micro-batch of per_device_train_batch_max_tokens has as many
rows of max_seq_len as fit, and an update has group_size micro-batches: processes with data of their own times
gradient_accumulation_steps, unless --group_size says otherwise. Printed are the budget whose updates come closest to
that many solutions, its neighbours, and the smallest and largest number of solutions in an update. Without --solutions
it is asked for, as often as you like.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from llm.core.console import ArgumentParser, count_of, plain_errors, refuse
from llm.core.run.run import Run
from llm.tasks.table import find_task

NEIGHBOURS = 1  # budgets shown on either side of the best one


@dataclass(frozen=True)
class Choice:
    """Updates of `rows` rows in each of `group_size` micro-batches."""

    rows: int
    tokens: int  # of a micro-batch
    least: int
    mean: float
    most: int


def main(argv: list[str]) -> None:
    parser = ArgumentParser("python -m llm batch-size", description=__doc__, add_help=False)
    parser.add_argument("--solutions", type=int)
    parser.add_argument("--group_size", type=int)
    asked, words = parser.parse_known_args([word.replace("--group-size", "--group_size") for word in argv])
    with plain_errors(ValueError, OSError):
        task, words = find_task(words)
        run = task.resolve_run(words, __doc__ or "")
        if not run.data_sets.get("train_dataset_path"):
            refuse("batch-size: the configuration names no training data (train_dataset_path with do_train true)")
        rows = task.rows_of(run, task.read_format(run), run.data.train_dataset_path or [], sys.stderr.isatty())
        counts = np.array([row.solution_count for row in rows.rows])
        print("\n".join(rows.describe("training data", run.data.max_seq_len)))
        for solutions, group_size in _questions(asked.solutions, asked.group_size or group_size_of(run)):
            print("\n".join(answer(counts, solutions, group_size, run)), flush=True)


def group_size_of(run: Run) -> int:
    return run.data_ranks * run.training.gradient_accumulation_steps


def _questions(solutions: int | None, group_size: int) -> Iterator[tuple[int, int]]:
    """(solutions of an update, micro-batches of it): as given, or asked for until an empty line."""
    if solutions is not None:
        yield _positive(solutions, group_size)
        return
    while text := _asked(f"\nsolutions in an update, and micro-batches if not {group_size} (empty: end): "):
        if len(text) > 2 or not all(map(str.isdecimal, text)):
            print(f"{' '.join(text)}: write one or two whole numbers, such as 128, or 128 {group_size}")
            continue
        try:
            yield _positive(int(text[0]), int(text[1]) if text[1:] else group_size)
        except ValueError as error:
            print(error)


def _asked(question: str) -> list[str]:
    """Words; none at the end of the input."""
    try:
        return input(question).split()
    except EOFError:
        print()
        return []


def _positive(solutions: int, group_size: int) -> tuple[int, int]:
    if min(solutions, group_size) < 1:
        raise ValueError(f"solutions {solutions} and group_size {group_size}: both must be 1 or more")
    return solutions, group_size


def answer(counts: np.ndarray, solutions: int, group_size: int, run: Run) -> Iterator[str]:
    best = rows_for(counts, solutions, group_size)
    around = range(max(best - NEIGHBOURS, 1), best + NEIGHBOURS + 1)
    order = np.random.default_rng([run.training.seed, 0]).permutation(len(counts))  # of the first pass
    found = [choice(counts[order], rows, group_size, run.data.max_seq_len) for rows in around]
    if not any(found):
        rows, whole = count_of(len(counts), "row"), count_of(int(counts.sum()), "solution")
        yield (
            f"\nno update of about {count_of(solutions, 'solution')}: the data packs {whole} into {rows}, "
            "which is less than one such update"
        )
        return
    batches = count_of(group_size, "micro-batch", "micro-batches")
    yield f"\nupdates of about {count_of(solutions, 'solution')}, {batches} each:"
    yield "  per_device_train_batch_max_tokens  rows  solutions of an update: mean  smallest  largest"
    for one in (one for one in found if one is not None):
        mark = "*" if one.rows == best else " "
        yield f"{mark} {one.tokens:>33,}  {one.rows:>4}  {one.mean:>29.1f}  {one.least:>8,}  {one.most:>7,}"
    mean = counts.mean() * group_size
    if solutions < mean / 2:
        yield (
            f"  even one row in each micro-batch makes updates of {mean:.0f} solutions; lower max_seq_len "
            f"({run.data.max_seq_len}) or the number of micro-batches"
        )


def rows_for(counts: np.ndarray, solutions: int, group_size: int) -> int:
    """Rows of a micro-batch, so that the mean update is as near to this as it can be."""
    return max(round(solutions / (counts.mean() * group_size)), 1)


def choice(counts: np.ndarray, rows: int, group_size: int, max_seq_len: int) -> Choice | None:
    """None where the data is less than one update. The last one of a pass, which may have fewer rows, is left out."""
    of_update = rows * group_size
    updates = len(counts) // of_update
    if not updates:
        return None
    sums = counts[: updates * of_update].reshape(updates, of_update).sum(axis=1)
    return Choice(rows, rows * max_seq_len, int(sums.min()), float(sums.mean()), int(sums.max()))
