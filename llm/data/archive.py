"""The records of a .tar.gz archive, which may be damaged or hostile: nothing of it reaches outside its folder."""

from __future__ import annotations

import filecmp
import gzip
import os
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from llm.core.console import in_short, listed
from llm.core.paths import SUFFIXES
from llm.data.download import CHUNK, FetchError, byte_bar

MAX_UNPACKED = 8 << 30  # several times the published records; a decompression bomb is stopped here
MAX_MEMBERS = 10_000
MAX_READ = 16 << 20  # tarfile reads a header's extension in one piece, of the size that the header claims

DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)  # of what is packed, wherever it is read
# What tarfile's reading of a header raises besides: of numbers that are none, absurd sizes, headers inside each other.
OF_HEADERS = (*DAMAGE, OverflowError, RecursionError, ValueError, TypeError, KeyError, IndexError)

TRAIN_WORDS = ("train",)
DEV_WORDS = ("test", "dev", "valid", "eval")


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
def _told(path: Path, damage: tuple[type[Exception], ...]) -> Iterator[None]:
    """Damage that is met inside the block becomes a FetchError."""
    try:
        yield
    except FetchError:
        raise
    except damage as error:
        raise FetchError(
            f"{path} is not a complete .tar.gz archive ({in_short(error)}). It may have been cut short, or be an error "
            "page saved under that name: remove it and fetch it again."
        ) from error


@contextmanager
def _open_archive(path: Path, limit: int) -> Iterator[tarfile.TarFile]:
    """The archive opened for reading."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with _told(path, DAMAGE), (gzip.open if zipped else open)(path, "rb") as raw:
        stream = _Bounded(raw, limit)
        with _told(path, OF_HEADERS):
            tar = tarfile.open(fileobj=stream, mode="r:")  # type: ignore[call-overload]  # it is only read
        with tar:
            yield tar
        while stream.read(CHUNK):  # to the end: only there does gzip compare its checksum
            pass


def _headers(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    members = iter(tar)
    while True:
        with _told(path, OF_HEADERS):
            member = next(members, None)
        if member is None:
            return
        yield member


def _members(tar: tarfile.TarFile, path: Path) -> dict[str, tarfile.TarInfo]:
    """The archive's regular files by name; refuses an archive with anything that reaches outside."""
    files, problems = {}, []
    for count, member in enumerate(_headers(tar, path), 1):
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
            files = _members(tar, archive)
            chosen = _choose(list(files), train_member, dev_member)
            for name, target in zip(chosen, ("train.json", "test.json"), strict=True):
                print(f"{name} -> {output / target}", flush=True)
                _copy(tar, files[name], fresh / target, limit)
        _move(fresh, output, overwrite)


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, limit: int) -> None:
    inside = tar.extractfile(member)
    assert inside is not None  # a file, as _members has them
    source = gzip.open(inside) if member.name.lower().endswith(".gz") else inside
    with source, open(target, "xb") as file, byte_bar(target.name) as bar:
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
