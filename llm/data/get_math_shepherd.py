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
import filecmp
import gzip
import http.client
import json
import os
import re
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ssl import SSLError
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tqdm import tqdm

from llm.core.console import ArgumentParser, listed
from llm.core.records.records import BadRecords, ReadCounts, iter_records

URL = "https://bj.bcebos.com/paddlenlp/datasets/examples/math-shepherd.tar.gz"
OUTPUT = Path(__file__).resolve().parents[2] / "data" / "Math-Shepherd"
REWARD_TOKENS = ("+", "-")

RETRY_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before the second, third, ... attempt
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 20
MAX_UNPACKED = 8 << 30  # several times the published records; a decompression bomb is stopped here
MAX_MEMBERS = 10_000
MAX_READ = 16 << 20  # tarfile reads a header's extension in one piece, of the size that the header claims

# What gzip and tarfile raise on damaged or hostile bytes; the last two for absurd sizes and nested headers.
DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, OverflowError, RecursionError)

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
TRAIN_WORDS = ("train",)
DEV_WORDS = ("test", "dev", "valid", "eval")


class FetchError(ValueError):
    """The data cannot be fetched or unpacked; the message is one paragraph for the user."""


# ---- download ----


def download(url: str, target: Path, waits: Sequence[float] = RETRY_WAITS) -> None:
    """Fetch `url` to `target`, which appears only when it is complete.

    What arrives goes to `target`.part, and `target`.part.json says which version of which file it is: a
    further attempt, in this call or in a later one, asks for the rest of that same version and starts anew if
    the server has another by now. After an attempt that fails in a way that may pass come at most len(waits)
    more. Raises FetchError.
    """
    part = target.with_name(target.name + ".part")
    for wait in (*waits, None):
        try:
            _receive(url, part)
            break
        except HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # the part is longer than the file, so it is of another version
                _forget(part)
            elif error.code < 500 and error.code not in (408, 429):
                raise FetchError(_failure(url, part, reason)) from error
        except (URLError, http.client.HTTPException, ConnectionError, TimeoutError, SSLError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if wait is None:
            raise FetchError(_failure(url, part, f"{len(waits) + 1} attempts failed, the last one: {reason}"))
        tqdm.write(f"{reason}; trying again in {wait:g} s", file=sys.stderr)
        time.sleep(wait)
    os.replace(part, target)
    _forget(part)


def _receive(url: str, part: Path) -> None:
    """One attempt. Returns when `part` is complete; raises ConnectionError if it ended too early."""
    version, offset = _kept(url, part)
    if offset and offset == version["size"]:
        return
    # An encoding on the way would make ranges count other bytes than those that are kept.
    request = Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "get_math_shepherd"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        strong = version["etag"] if version["etag"] and not version["etag"].startswith("W/") else None
        if strong or version["last_modified"]:
            request.add_header("If-Range", strong or version["last_modified"])
    with urlopen(request, timeout=TIMEOUT) as response:
        offered = _version(url, response)
        if offset and response.status == 206:
            if not _goes_on(response, offset, version, offered):
                _forget(part)
                raise ConnectionError("the file on the server has changed; the part downloaded before is discarded")
        else:
            _forget(part)  # before the new version is written down: a crash between must not mix the two
            _beside(part).write_text(json.dumps(offered), encoding="utf-8")
            version, offset = offered, 0
        size = version["size"] if offered["size"] is None else offered["size"]
        with open(part, "ab") as file, _bar(part.name, size, offset) as bar:
            while chunk := response.read1(CHUNK):  # what has come, so that a stop loses none of it
                file.write(chunk)
                bar.update(len(chunk))
    arrived = part.stat().st_size
    if size is not None and arrived != size:
        raise ConnectionError(f"the connection ended after {arrived:,} of {size:,} bytes")


def _version(url: str, response: http.client.HTTPResponse) -> dict:
    ranged = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
    size = ranged[1] if ranged else response.headers.get("Content-Length") if response.status == 200 else None
    return {
        "url": url,
        "etag": response.headers.get("ETag"),
        "last_modified": response.headers.get("Last-Modified"),
        "size": int(size) if size and size.isdigit() else None,
    }


def _goes_on(response: http.client.HTTPResponse, offset: int, version: dict, offered: dict) -> bool:
    """Whether a partial answer is the rest of this version; servers exist that overlook If-Range."""
    begins = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
    known = [key for key in offered if version[key] is not None and offered[key] is not None]
    return begins and all(version[key] == offered[key] for key in known)


def _kept(url: str, part: Path) -> tuple[dict, int]:
    """The version that `part` belongs to and the bytes there are of it; none if it is of another url."""
    try:
        version = json.loads(_beside(part).read_text(encoding="utf-8"))
        if version["url"] == url and {"etag", "last_modified", "size"} <= version.keys():
            return version, part.stat().st_size
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        pass  # nothing kept, or not readable as ours: start anew
    return {}, 0


def _beside(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _beside(part).unlink(missing_ok=True)


def _failure(url: str, part: Path, reason: str) -> str:
    kept = f" What was downloaded is kept in {part}; the same command continues from there." if part.exists() else ""
    return (
        f"{url} cannot be fetched: {reason}.{kept} Check the network (http_proxy and https_proxy are "
        "obeyed), or fetch the file on another machine, for example with wget, and give it with --archive FILE."
    )


def _bar(what: str, total: int | None = None, done: int = 0) -> tqdm:
    """A progress bar in bytes, silent where no terminal shows it."""
    return tqdm(desc=what, total=total, initial=done, unit="B", unit_scale=True, disable=None)


# ---- unpacking ----


class _Bounded:
    """A decompressed stream that refuses to go beyond its limit, or to give too much in one piece."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, limit: int) -> None:
        self.stream, self.limit, self.tell = stream, limit, stream.tell

    def read(self, size: int) -> bytes:
        if size > MAX_READ:
            raise FetchError(f"the archive is not unpacked: it has a header of {size:,} bytes.")
        data = self.stream.read(size)
        self._allow(self.tell())
        return data

    def seek(self, position: int) -> int:
        self._allow(position)
        return self.stream.seek(position)

    def _allow(self, position: int) -> None:
        if not 0 <= position <= self.limit:
            raise FetchError(
                f"the archive is not unpacked: it expands to more than {self.limit:,} bytes, like a "
                "decompression bomb. If you trust it, unpack it with tar, and name its files in the settings "
                "train_dataset_path and dev_dataset_path."
            )


@contextmanager
def _open_archive(path: Path, limit: int) -> Iterator[tarfile.TarFile]:
    """The archive opened for reading; damage met anywhere inside the block becomes a FetchError."""
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with (gzip.open if zipped else open)(path, "rb") as raw:
            stream = _Bounded(raw, limit)
            with tarfile.open(fileobj=stream, mode="r:") as tar:  # type: ignore[call-overload]  # it is only read
                yield tar
            while stream.read(CHUNK):  # to the end: only there does gzip compare its checksum
                pass
    except DAMAGE as error:
        raise FetchError(
            f"{path} is not a complete .tar.gz archive ({error}). It may have been cut short, or be an error page "
            "saved under that name: remove it and fetch it again."
        ) from error


def _members(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """The archive's regular files by name; refuses an archive with anything that reaches outside."""
    files, problems = {}, []
    for count, member in enumerate(tar, 1):
        if count > MAX_MEMBERS:
            raise FetchError(f"the archive is not unpacked: it has more than {MAX_MEMBERS:,} members.")
        parts = re.split(r"[/\\]", member.name)
        if parts[0] == "" or ".." in parts or parts[0].endswith(":"):
            problems.append(f"{member.name!r} leads out of the folder it is unpacked in")
        elif member.issym() or member.islnk():
            problems.append(f"{member.name!r} is a link to {member.linkname!r}")
        elif not (member.isfile() or member.isdir()) or member.issparse():
            problems.append(f"{member.name!r} is neither a plain file nor a folder")
        elif member.isfile():
            files["/".join(part for part in parts if part not in ("", "."))] = member
    if problems:
        raise FetchError(f"the archive is not unpacked, as its members are not only data: {listed(problems, most=20)}.")
    return files


def _choose(names: Sequence[str], train: str | None, dev: str | None) -> tuple[str, str]:
    """The members that become train.json and test.json: the ones asked for, else the only ones named so."""
    chosen, problems = [], []
    # Hidden names are left out for the ._train.json that tar on a Mac adds to train.json.
    data = [n for n in names if n.lower().endswith(SUFFIXES) and not n.split("/")[-1].startswith(".")]
    for wanted, option, words in ((train, "--train_member", TRAIN_WORDS), (dev, "--dev_member", DEV_WORDS)):
        if wanted is not None:
            fits = [n for n in data if n == wanted.removeprefix("./")]
            what = f"{option} {wanted!r} is none of its {', '.join(SUFFIXES)} files"
        else:
            fits = [n for n in data if any(word in n.split("/")[-1].lower() for word in words)]
            what = f"{len(fits) or 'no'} names contain {' or '.join(words)} (choose one with {option} NAME)"
        chosen += fits[:1]
        if len(fits) != 1:
            problems.append(what)
    if not problems and chosen[0] == chosen[1]:
        problems.append(f"{chosen[0]!r} cannot be both (name two with --train_member and --dev_member)")
    if problems:
        raise FetchError(
            f"the files for training and evaluation are not clear: {'; '.join(problems)}. The archive holds "
            f"{listed([repr(n) for n in names], most=20) or 'no file'}."
        )
    return chosen[0], chosen[1]


def unpack(
    archive: Path,
    output: Path,
    *,
    train_member: str | None = None,
    dev_member: str | None = None,
    overwrite: bool = False,
    limit: int = MAX_UNPACKED,
) -> None:
    """Put the archive's training and evaluation records at output/train.json and output/test.json.

    Their content is not touched (a .gz member is expanded), their names in the archive never become paths.
    Both are written next to `output` and moved when they are whole. Where one is there already and differs,
    nothing is changed, unless `overwrite`. Raises FetchError.
    """
    if output.exists() and not output.is_dir():
        raise FetchError(f"{output} is not a folder; name another with --output.")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as temporary:
        fresh = Path(temporary) / output.name
        fresh.mkdir()  # the temporary folder itself is closed to other users, the data should not be
        with _open_archive(archive, limit) as tar:
            files = _members(tar)
            chosen = _choose(list(files), train_member, dev_member)
            for name, target in zip(chosen, ("train.json", "test.json"), strict=True):
                print(f"{name} -> {output / target}", flush=True)
                _copy(tar, files[name], fresh / target, limit)
        _move(fresh, output, overwrite)


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, limit: int) -> None:
    inside = tar.extractfile(member)
    assert inside is not None  # a file, as _members has them
    source = gzip.open(inside) if member.name.lower().endswith(".gz") else inside
    with source, open(target, "xb") as file, _bar(target.name) as bar:
        while chunk := source.read(CHUNK):
            if file.tell() + len(chunk) > limit:
                raise FetchError(f"{member.name!r} expands to more than {limit:,} bytes: it is not unpacked.")
            file.write(chunk)
            bar.update(len(chunk))


def _move(fresh: Path, output: Path, overwrite: bool) -> None:
    old = [output / file.name for file in sorted(fresh.iterdir()) if (output / file.name).exists()]
    differing = [o for o in old if not o.is_file() or not filecmp.cmp(o, fresh / o.name, shallow=False)]
    if differing and not overwrite:
        raise FetchError(
            f"{' and '.join(map(str, differing))} would be replaced by other content: nothing is changed. "
            "Allow it with --overwrite, or unpack elsewhere with --output FOLDER."
        )
    if not output.exists():
        os.rename(fresh, output)
        return
    for file in fresh.iterdir():  # other files in the folder are the user's and stay
        os.replace(file, output / file.name)


# ---- the command ----


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
