"""Unpacking archives, honest and hostile."""

from __future__ import annotations

import gzip
import re
import tarfile
from pathlib import Path

import pytest

from llm.data import archive as archive_module
from llm.data.archive import unpack
from llm.data.download import FetchError
from tests.data.math_shepherd import DEV, LINES, TRAIN, tarball


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below the folder with its content, and empty folders with none."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
        elif not any(path.iterdir()):
            found[str(path.relative_to(folder))] = b""
    return found


@pytest.mark.parametrize("mode", ["w:gz", "w"])
@pytest.mark.parametrize(
    ("train", "dev"),
    [
        ("train.json", "test.json"),
        ("./Math-Shepherd/train.json", "./Math-Shepherd/test.json"),
        ("a/b/math_shepherd_TRAIN.JSONL", "a/b/math_shepherd_dev.jsonl"),
        ("train.json.gz", "validation.jsonl.gz"),
        ("train_set/train-data.jsonl", "train_set/eval-data.jsonl"),
    ],
)
def test_the_files_are_found_wherever_they_are(tmp_path: Path, train: str, dev: str, mode: str):
    """The content goes unchanged to two fixed names; other members, and a Mac's ._ files, are left."""
    bodies = [gzip.compress(c) if n.endswith(".gz") else c for n, c in ((train, TRAIN), (dev, LINES))]
    others = [("README.md", b"test"), ("notes/._train.json", b"\0"), ("meta.json", b"{}"), ("train.txt", b"")]
    archive = tarball(tmp_path / "x.tar.gz", *others, (train, bodies[0]), (dev, bodies[1]), mode=mode)
    unpack(archive, tmp_path / "new" / "out")
    assert tree(tmp_path / "new") == {"out/train.json": TRAIN, "out/test.json": LINES}


def test_the_result_is_readable_by_others(good: Path, tmp_path: Path):
    """The folder has the permissions of any new folder, not those of a private temporary one."""
    (tmp_path / "plain").mkdir()
    unpack(good, tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_unclear_names_are_listed_and_can_be_given(tmp_path: Path):
    """Both problems in one message with what the archive holds; the options then decide."""
    names = ["d/train.json", "d/train_small.json", "d/other.jsonl", "d/about.txt"]
    archive = tarball(tmp_path / "x.tar.gz", *((n, TRAIN if n == names[0] else DEV) for n in names))
    with pytest.raises(FetchError) as caught:
        unpack(archive, tmp_path / "out")
    for text in (
        "2 names contain train",
        "--train_member NAME",
        "no names contain test",
        "--dev_member NAME",
    ):
        assert text in str(caught.value)
    assert all(repr(name) in str(caught.value) for name in names)
    with pytest.raises(FetchError, match="--dev_member 'd/about.txt' is none of its"):
        unpack(archive, tmp_path / "out", train_member=names[0], dev_member="d/about.txt")
    with pytest.raises(FetchError, match="'d/train.json' cannot be both"):
        unpack(archive, tmp_path / "out", train_member=names[0], dev_member=names[0])
    assert sorted(tree(tmp_path)) == ["x.tar.gz"]
    unpack(archive, tmp_path / "out", train_member="./d/train.json", dev_member="d/other.jsonl")
    assert tree(tmp_path / "out") == {"train.json": TRAIN, "test.json": DEV}


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


HOSTILE = {
    "parent": ("../train.json", "leads out of the folder"),
    "inner parent": ("a/../../train.json", "leads out of the folder"),
    "absolute": ("/etc/train.json", "leads out of the folder"),
    "windows": ("C:\\train.json", "leads out of the folder"),
    "backslash": ("a\\..\\..\\train.json", "leads out of the folder"),
    "symlink": (special("train.json", tarfile.SYMTYPE, "/etc/passwd"), "link to '/etc/passwd'"),
    "hard link": (special("train.json", tarfile.LNKTYPE, "../secret"), "link to '../secret'"),
    "folder link": (special("Math-Shepherd", tarfile.SYMTYPE, "/"), "link to '/'"),
    "device": (special("train.json", tarfile.CHRTYPE), "neither a plain file nor a folder"),
    "disk": (special("dev.json", tarfile.BLKTYPE), "neither a plain file nor a folder"),
    "fifo": (special("train.json", tarfile.FIFOTYPE), "neither a plain file nor a folder"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_member_refuses_the_whole_archive(tmp_path: Path, case: str):
    """Nothing of the archive is written, inside or outside of the output, though the rest of it is fine."""
    member, reason = HOSTILE[case]
    home = tmp_path / "home"
    home.mkdir()
    good = [("Math-Shepherd/train.json", TRAIN), ("Math-Shepherd/test.json", DEV)]
    archive = tarball(home / "x.tar.gz", *good, (member, b"hostile"))
    with pytest.raises(FetchError, match=re.escape(reason)):
        unpack(archive, home / "out")
    assert list(tree(tmp_path)) == ["home/x.tar.gz"]


def long_header(path: Path) -> Path:
    """A header that claims an extension of 64 MiB, which tarfile would read in one piece."""
    size = 64 << 20
    extension = special("x", tarfile.XHDTYPE)
    extension.size = size
    path.write_bytes(gzip.compress(extension.tobuf() + bytes(size), 1))
    return path


SPARSE = [
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},  # the map is in the data, which is none
    {"GNU.sparse.major": "x", "GNU.sparse.minor": "0"},
    {"GNU.sparse.map": "0,5,x"},
    {"GNU.sparse.map": "0,5,7"},
    {"GNU.sparse.map": "0,5"},
    {"GNU.sparse.map": "0,99999999999999999999"},
    {"GNU.sparse.map": "-5,5"},
    {"GNU.sparse.size": "x", "GNU.sparse.offset": "1", "GNU.sparse.numbytes": "1"},
    {"GNU.sparse.realsize": "x"},
    {"GNU.sparse.name": "../../train.json"},
    {"size": "x"},
    {"size": "-512"},
    {"size": "99999999999999999999"},
    {"mtime": "nan", "uid": "1e999"},
    {"path": "../train.json"},
    {"path": ""},
    {"hdrcharset": "nonsense"},
]


@pytest.mark.parametrize("headers", SPARSE, ids=str)
def test_what_a_header_says_is_refused_or_means_nothing(tmp_path: Path, headers: dict[str, str]):
    """PAX headers, those of sparse files among them: numbers that are none, sizes beyond the file, other names."""
    member = tarfile.TarInfo("train.json")
    member.pax_headers = headers
    archive = tarball(tmp_path / "x.tar.gz", (member, TRAIN), ("test.json", DEV))
    try:
        unpack(archive, tmp_path / "out")
    except FetchError as error:
        assert len(str(error)) < 700
        assert list(tree(tmp_path)) == ["x.tar.gz"]
    else:
        assert tree(tmp_path / "out") == {"train.json": TRAIN, "test.json": DEV}


def test_a_mistake_of_the_code_is_no_damage(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Only what reading raises is blamed on the archive."""
    monkeypatch.setattr(archive_module, "_copy", lambda *_: {}["mistake"])
    with pytest.raises(KeyError, match="mistake"):
        unpack(good, tmp_path / "out")


BOMBS = {
    "data": lambda path: tarball(path, ("train.json", bytes(3 << 20)), ("test.json", DEV)),
    "skipped": lambda path: tarball(path, ("train.json", TRAIN), ("test.json", DEV), ("x", bytes(3 << 20))),
    "inner gzip": lambda path: tarball(path, ("train.json.gz", gzip.compress(bytes(3 << 20))), ("test.json", DEV)),
    "after the end": lambda path: path.write_bytes(
        tarball(path, ("train.json", TRAIN), ("test.json", DEV)).read_bytes() + gzip.compress(bytes(3 << 20))
    ),
    "header": long_header,
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_decompression_bomb_is_stopped_at_the_limit(tmp_path: Path, case: str):
    """A few kilobytes that become more than the limit are refused, and what was written is removed."""
    archive = tmp_path / "x.tar.gz"
    BOMBS[case](archive)
    limit = 1 << 40 if case == "header" else 1 << 20
    with pytest.raises(FetchError, match="expands to more than 1,048,576 bytes|header of 67,108,864 bytes"):
        unpack(archive, tmp_path / "out", limit=limit)
    assert list(tree(tmp_path)) == ["x.tar.gz"]


def test_endless_members_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Headers alone, of empty members, fill the memory too."""
    monkeypatch.setattr(archive_module, "MAX_MEMBERS", 10)
    archive = tarball(tmp_path / "x.tar.gz", *((f"{n}.txt", b"") for n in range(11)))
    with pytest.raises(FetchError, match="more than 10 members"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_archive_is_told_and_leaves_nothing(good: Path, tmp_path: Path, share: float):
    """A download cut short by other means than ours is noticed at any point."""
    whole = good.read_bytes()
    good.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FetchError, match="is not a complete .tar.gz archive .*fetch it again"):
        unpack(good, tmp_path / "out")
    assert list(tree(tmp_path)) == [good.name]


def test_a_wrong_checksum_is_told(good: Path, tmp_path: Path):
    """gzip compares only at its end, which lies behind the last member: reading has to go that far."""
    whole = bytearray(good.read_bytes())
    whole[-5] ^= 1
    whole[-8] ^= 1
    good.write_bytes(whole)
    with pytest.raises(FetchError, match="CRC check failed"):
        unpack(good, tmp_path / "out")
    assert list(tree(tmp_path)) == [good.name]


def test_an_error_page_is_no_archive(tmp_path: Path):
    """What a captive portal answers with 200 is not taken for data."""
    page = tmp_path / "math-shepherd.tar.gz"
    page.write_text("<html>please log in</html>" * 100)
    with pytest.raises(FetchError, match="error page"):
        unpack(page, tmp_path / "out")


def test_what_is_there_stays_without_overwrite(good: Path, tmp_path: Path):
    """A differing file is refused and named, an equal one is fine, others in the folder are never touched."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    (out / "test.json").write_text("[]")
    with pytest.raises(FetchError, match=r"out/test.json would be replaced .*--overwrite"):
        unpack(good, out)
    assert tree(out) == {"mine.txt": b"mine", "test.json": b"[]"}
    unpack(good, out, overwrite=True)
    after = {"mine.txt": b"mine", "train.json": TRAIN, "test.json": DEV}
    assert tree(out) == after
    unpack(good, out)
    assert tree(out) == after and sorted(p.name for p in tmp_path.iterdir()) == [good.name, "out"]
