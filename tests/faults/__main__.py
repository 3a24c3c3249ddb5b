"""make test-faults [SEED=0 COUNT=10000]: what comes of kills, flipped bits, truncations, planted pickles and changed
files, as a table."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import damage, forms, kills, mutations
from tests.faults.commands import COMMANDS
from tests.faults.outcomes import Row, table
from tests.faults.readers import READERS
from tests.runs import FORKS

# what is imported once, by the process from which all others are forked
IMPORTED = ("tests.forked_rank", kills.__name__, mutations.READERS)


def tests_of(base: Path, seed: int, count: int, every: int) -> Iterator[tuple[str, Callable[[Path], list[Row]]]]:
    """By name, what is done in an empty folder; the longest are in front."""
    tiny = base / "tiny"
    for name in reversed(kills.WRITERS):
        yield f"kills: {name}", lambda folder, name=name: [kills.sweep(tiny, folder, name, every)]
    yield f"kills: {kills.REPLACED}", lambda folder: [kills.sweep_replacement(tiny, folder, every)]
    for name in COMMANDS:
        yield f"damage: {name}", lambda folder, name=name: damage.sweep(tiny, folder, name, seed, every)
    for name in READERS:
        yield name, lambda _, name=name: [mutations.sweep(base, name, seed, range(count))]


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000, help="changed files for each reader")
    parser.add_argument("--only", nargs="+", default=[""], help="tests whose names begin so")
    parser.add_argument("--number", type=int, help="with --only READER: this changed file alone")
    parser.add_argument("--every", type=int, default=1, help="of kills and damaged files each so many-th")
    parser.add_argument("--at_once", type=int, default=2, help="tests that run at the same time")
    options = parser.parse_args()
    FORKS.set_forkserver_preload([*IMPORTED])
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        base = Path(folder)
        forms.make(base, ("full", "LoRA", ".pdparams"))
        if options.number is not None:
            print(mutations.shown(base, options.only[0], options.seed, options.number))
            return
        tests = tests_of(base, options.seed, options.count, options.every)
        chosen = [test for test in tests if test[0].startswith(tuple(options.only))]
        with ThreadPoolExecutor(options.at_once) as pool:
            rows = [row for found in pool.map(lambda test: carry_out(base, *test), chosen) for row in found]
    print("\n" + table(rows))
    print(*(example for row in rows for example in row.examples), sep="\n")
    sys.exit(int(any(row.bad for row in rows)))


def carry_out(base: Path, name: str, test: Callable[[Path], list[Row]]) -> list[Row]:
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=base) as folder:
        rows = test(Path(folder))
    print(f"{name}: {time.monotonic() - start:.0f} s\n{table(rows)}", file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    main()
