"""Fetch the Math-Shepherd records and put them where llm/config/mistral/prm_flashmask_argument.json looks.

    python llm/data/get_math_shepherd.py                                   # download, unpack, check
    python llm/data/get_math_shepherd.py --archive math-shepherd.tar.gz    # one that is here already

An interrupted download continues where it stopped when the command is given again. Nothing that is in the
output folder is replaced without --overwrite. Ends with 0, with 1 when the data could not be fetched or
unpacked, and with 2 when records fail the check (the files then stay, for training with skip_bad_records).
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import argparse
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from tqdm import tqdm

from llm.core.console import ArgumentParser
from llm.core.paths import WORKSPACE
from llm.core.records.records import BadRecords, ReadCounts, iter_records
from llm.data.archive import unpack
from llm.data.download import RETRY_WAITS, FetchError, download

URL = "https://bj.bcebos.com/paddlenlp/datasets/examples/math-shepherd.tar.gz"
OUTPUT = WORKSPACE / "data" / "Math-Shepherd"
REWARD_TOKENS = ("+", "-")


def check(paths: Sequence[Path]) -> bool:
    """Print what each file holds and which records training would refuse; True if there are none."""
    good = True
    for path in paths:
        counts = ReadCounts()
        try:
            for _ in tqdm(iter_records(path, REWARD_TOKENS, counts), f"check {path.name}", disable=None):
                pass
        except BadRecords as error:
            good = False
            print(error, file=sys.stderr)
        records = f"{counts.read:,} records, {counts.kept:,} kept"
        bad = "".join(f", {number:,} bad ({reason})" for reason, number in counts.dropped.most_common())
        share = f", {counts.positive / counts.steps:.1%} of them {REWARD_TOKENS[0]}" if counts.steps else ""
        print(f"{path}: {records}{bad}; {counts.steps:,} steps{share}", flush=True)
    return good


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(description="Fetch the Math-Shepherd records, unpack and check them.")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--archive", type=Path, help="a .tar.gz file to use instead of a download")
    source.add_argument("--url", type=_address, help=f"where to download from (default: {URL})")
    output = "the folder that gets train.json and test.json (default: %(default)s)"
    parser.add_argument("--output", type=Path, default=OUTPUT, help=output)
    parser.add_argument("--train_member", metavar="NAME", help="the archive's file that becomes train.json")
    parser.add_argument("--dev_member", metavar="NAME", help="the archive's file that becomes test.json")
    parser.add_argument("--overwrite", action="store_true", help="replace these two if they differ")
    args = parser.parse_args(argv)
    args.output = args.output.resolve()
    return args


def _address(text: str) -> str:
    if not re.fullmatch(r"https?://[!-~]+", text, re.IGNORECASE) or not urlsplit(text).hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is not an http(s) address; is it a file, for --archive?")
    return text


def _fetch(args: argparse.Namespace) -> Path:
    url = args.url or URL
    archive = args.output.parent / (Path(urlsplit(url).path).name or "math-shepherd.tar.gz")
    if archive.exists():
        raise FetchError(f"{archive} exists already: give it with --archive, or remove it to fetch it again.")
    archive.parent.mkdir(parents=True, exist_ok=True)
    print(f"{url} -> {archive}", flush=True)
    download(url, archive, RETRY_WAITS)
    return archive


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    paths = [args.output / "train.json", args.output / "test.json"]
    asked = args.archive or args.url or args.train_member or args.dev_member or args.overwrite
    archive = args.archive
    try:
        if not asked and all(path.is_file() for path in paths):
            print(f"{args.output} has both files already; --overwrite fetches them again.")
        else:
            archive = archive or _fetch(args)
            members = {"train_member": args.train_member, "dev_member": args.dev_member}
            unpack(archive, args.output, **members, overwrite=args.overwrite)
        good = check(paths)
    except (FetchError, OSError) as error:
        why = str(error)
        if isinstance(error, OSError):
            why = f"{error.filename or args.output}: {error.strerror or error}."
        kept = f" The download is kept as {archive}, for --archive." if archive != args.archive else ""
        print(f"error: {why}{kept}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command resumes the download", file=sys.stderr)
        return 130
    if not good:
        print(
            "The files are in place as the archive has them. Training refuses such records, or with "
            "skip_bad_records: true leaves them out and counts them.",
            file=sys.stderr,
        )
        return 2
    if archive != args.archive:
        archive.unlink()  # all that it was fetched for is unpacked and checked
    return 0


if __name__ == "__main__":
    sys.exit(main())
