"""Fetching Math-Shepherd: from a server on this machine, and from archives made here, honest and hostile."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llm.data import archive as archive_module
from llm.data import download as download_module
from llm.data.archive import unpack
from llm.data.download import FetchError, download
from llm.data.get_math_shepherd import OUTPUT, main

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "llm" / "data" / "get_math_shepherd.py"


def record(number: int, labels: str = "+-") -> dict:
    steps = [f"Step {k + 1}: {number} + {k} = {number + k}" for k in range(len(labels))]
    return {
        "src": [""],
        "tgt": [],
        "responses": [f"What is it? {steps[0]}", *steps[1:]],
        "labels": list(labels),
    }


TRAIN = json.dumps([record(n) for n in range(5)], indent=4, ensure_ascii=False).encode()
DEV = json.dumps([record(n, "++-") for n in range(100, 103)]).encode()
LINES = b"".join(json.dumps(record(n)).encode() + b"\n" for n in range(4))


def tarball(path: Path, *members: tuple[tarfile.TarInfo | str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if info.isreg():
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    folder = tarfile.TarInfo("Math-Shepherd")
    folder.type = tarfile.DIRTYPE
    members = [(folder, b""), ("Math-Shepherd/train.json", TRAIN), ("Math-Shepherd/test.json", DEV)]
    return tarball(tmp_path / "math-shepherd.tar.gz", *members)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below the folder with its content, and empty folders with none."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
        elif not any(path.iterdir()):
            found[str(path.relative_to(folder))] = b""
    return found


# ---- download ----


class Site(ThreadingHTTPServer):
    """One file on 127.0.0.1; `plan` says what the next answers do, when it is used up they are whole."""

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content, self.etag, self.modified = content, '"one"', None
        self.ranges, self.if_range, self.plan, self.asked = True, True, [], []
        self.url = f"http://127.0.0.1:{self.server_port}/data/math-shepherd.tar.gz"

    def change(self, content: bytes, etag: str | None) -> None:
        self.content, self.etag = content, etag


class Answer(BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self) -> None:
        site = self.server
        site.asked.append((self.headers["Range"], self.headers["If-Range"]))
        step = site.plan.pop(0) if site.plan else None
        if isinstance(step, int):
            self.send_error(step)
            return
        start = self.start(site)
        if start > len(site.content):
            self.send_error(416)
            return
        body = site.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        for name, value in (("ETag", site.etag), ("Last-Modified", site.modified)):
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if step else body)
        if callable(step):
            step()

    def start(self, site: Site) -> int:
        """Where the answer begins: RFC 9110's Range and If-Range, as far as this site cares about them."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        condition = self.headers["If-Range"] or ""
        same = condition in ("", site.etag, site.modified) and not condition.startswith("W/")
        other = site.if_range and not same
        return int(asked[1]) if asked and site.ranges and not other else 0

    def log_message(self, *_: object) -> None:
        pass


DROP = "half of the answer, then the connection ends"
CONTENT = bytes(range(256)) * 40
OTHER = bytes(reversed(CONTENT)) + b"more"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Site(CONTENT)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_whole_download_leaves_the_file_alone(site: Site, tmp_path: Path):
    """One request without a range, and no .part or .json beside the result."""
    download(site.url, tmp_path / "file", ())
    assert tree(tmp_path) == {"file": CONTENT}
    assert site.asked == [(None, None)]


def test_a_dropped_connection_goes_on_where_it_stopped(site: Site, tmp_path: Path):
    """Each further attempt asks only for what is missing, of the version that it began with."""
    site.plan = [DROP, DROP]
    download(site.url, tmp_path / "file", (0, 0))
    assert tree(tmp_path) == {"file": CONTENT}
    half, more = len(CONTENT) // 2, len(CONTENT) // 4
    assert site.asked == [(None, None), (f"bytes={half}-", '"one"'), (f"bytes={half + more}-", '"one"')]


def test_a_stalled_connection_loses_nothing_that_came(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What came before a timeout is on the disk, though it fills no buffer: slow lines must make progress."""
    monkeypatch.setattr(download_module, "TIMEOUT", 0.2)
    over = threading.Event()
    site.plan = [lambda: over.wait(10)]
    download(site.url, tmp_path / "file", (0,))
    over.set()
    assert tree(tmp_path) == {"file": CONTENT}
    assert site.asked[1] == ("bytes=5120-", '"one"')


def test_a_later_run_resumes(site: Site, tmp_path: Path):
    """What arrived stays when all attempts failed, the message says so, and the next run uses it."""
    site.plan = [DROP]
    with pytest.raises(FetchError, match=r"1 attempts failed.*5,120 of 10,240 bytes.*kept in .*file\.part"):
        download(site.url, tmp_path / "file", ())
    assert tree(tmp_path)["file.part"] == CONTENT[:5120] and not (tmp_path / "file").exists()
    download(site.url, tmp_path / "file", ())
    assert tree(tmp_path) == {"file": CONTENT}
    assert site.asked[1] == ("bytes=5120-", '"one"')


def test_a_run_stopped_before_the_last_rename_asks_for_nothing(site: Site, tmp_path: Path):
    """A part that is complete by its recorded size only has to be renamed."""
    site.plan = [DROP]
    with pytest.raises(FetchError):
        download(site.url, tmp_path / "file", ())
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(site.url, tmp_path / "file", ())
    assert tree(tmp_path) == {"file": CONTENT} and len(site.asked) == 1


def test_a_weak_etag_does_not_hinder_resuming(site: Site, tmp_path: Path):
    """A weak one never matches in If-Range, so sending it would fetch the whole file again each time."""
    site.etag, site.plan = 'W/"one"', [DROP]
    download(site.url, tmp_path / "file", (0,))
    assert tree(tmp_path) == {"file": CONTENT}
    assert site.asked[1] == ("bytes=5120-", None)


def test_a_server_without_ranges_starts_anew(site: Site, tmp_path: Path):
    """A 200 in answer to a range is the whole file: appending it would give one and a half."""
    site.ranges, site.plan = False, [DROP]
    download(site.url, tmp_path / "file", (0,))
    assert tree(tmp_path) == {"file": CONTENT}


@pytest.mark.parametrize("obeys_if_range", [True, False])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (('"one"', None), ('"two"', None)),
        (('W/"one"', None), ('W/"two"', None)),
        ((None, "Mon, 01 Jan 2024 00:00:00 GMT"), (None, "Tue, 02 Jan 2024 00:00:00 GMT")),
        ((None, None), (None, None)),  # the size alone tells
    ],
)
def test_a_file_changed_between_attempts_is_not_glued(
    site: Site, tmp_path: Path, before: tuple, after: tuple, obeys_if_range: bool
):
    """The result is one version or the other, never the head of one with the tail of the other."""
    site.etag, site.modified = before
    site.if_range = obeys_if_range

    def change() -> None:
        site.content, (site.etag, site.modified) = OTHER, after

    site.plan = [change]
    download(site.url, tmp_path / "file", (0, 0))
    assert tree(tmp_path) == {"file": OTHER}


def test_a_file_that_shrank_is_fetched_anew(site: Site, tmp_path: Path):
    """416 says that the part is longer than the file: it is discarded, not asked for over and over."""
    site.etag = None
    site.plan = [lambda: site.change(b"short", None)]
    download(site.url, tmp_path / "file", (0, 0))
    assert tree(tmp_path) == {"file": b"short"}


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 1, "etag": null, "last_modified": null, "size": 9}'])
def test_a_part_that_is_not_known_to_be_of_this_file_is_not_used(site: Site, tmp_path: Path, note: str):
    """A part of another address, or with a note cut short by a crash, is no beginning of this file."""
    (tmp_path / "file.part").write_bytes(b"something else")
    (tmp_path / "file.part.json").write_text(note)
    download(site.url, tmp_path / "file", ())
    assert tree(tmp_path) == {"file": CONTENT} and site.asked == [(None, None)]


def test_404_fails_at_once(site: Site, tmp_path: Path):
    """What no further attempt mends is asked for once, and leaves nothing behind."""
    site.plan = [404] * 9
    with pytest.raises(FetchError, match=r"math-shepherd.tar.gz cannot be fetched: .* 404 .*--archive FILE"):
        download(site.url, tmp_path / "file", (0, 0))
    assert len(site.asked) == 1 and tree(tmp_path) == {}


def test_a_busy_server_is_asked_a_few_times(site: Site, tmp_path: Path):
    """503 may pass; the number of attempts is bounded."""
    site.plan = [503, 503]
    download(site.url, tmp_path / "file", (0, 0))
    assert tree(tmp_path) == {"file": CONTENT}
    site.plan = [503] * 9
    with pytest.raises(FetchError, match="3 attempts failed, the last one: the server answers 503"):
        download(site.url, tmp_path / "other", (0, 0))
    assert len(site.asked) == 6


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, site: Site):
    """One paragraph with the address, the cause and both ways out, and nothing left."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(FetchError) as caught:
            download(f"http://127.0.0.1:{port}/x.tar.gz", tmp_path / "file", (0,))
    message = str(caught.value)
    assert "\n" not in message and f"127.0.0.1:{port}" in message
    for word in ("2 attempts", "refused", "http_proxy", "--archive FILE"):
        assert word in message
    assert tree(tmp_path) == {}


# ---- unpacking ----


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


BOMBS = {
    "data": lambda path: tarball(path, ("train.json", bytes(3 << 20)), ("test.json", DEV)),
    "passed over": lambda path: tarball(path, ("train.json", TRAIN), ("test.json", DEV), ("x", bytes(3 << 20))),
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


# ---- the command ----


def test_the_output_is_where_the_published_config_looks():
    """The config names data/Math-Shepherd, from the repository."""
    assert OUTPUT == REPOSITORY / "data" / "Math-Shepherd"


def test_an_archive_is_unpacked_checked_and_counted(good: Path, tmp_path: Path, capsys):
    """The user's own archive stays, and the counts are those of the records."""
    assert main(["--archive", str(good), "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "train.json: 5 records, 5 kept; 10 steps, 50.0% of them +" in shown
    assert "test.json: 3 records, 3 kept; 9 steps, 66.7% of them +" in shown
    assert good.exists() and tree(tmp_path / "out") == {"train.json": TRAIN, "test.json": DEV}


def test_data_that_is_there_is_not_taken_for_what_was_asked_for(good: Path, tmp_path: Path, capsys):
    """Files of another origin do not make --archive succeed, and only --overwrite changes them."""
    (tmp_path / "out").mkdir()
    for name in ("train.json", "test.json"):
        (tmp_path / "out" / name).write_bytes(LINES)
    command = ["--archive", str(good), "--output", str(tmp_path / "out")]
    assert main(command) == 1
    assert "would be replaced" in capsys.readouterr().err
    assert tree(tmp_path / "out") == {"train.json": LINES, "test.json": LINES}
    assert main([*command, "--overwrite"]) == 0
    assert tree(tmp_path / "out") == {"train.json": TRAIN, "test.json": DEV}


def test_the_working_folder_can_be_the_output(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`.` has no name to make a temporary folder from; it means the folder itself."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["--archive", str(good), "--output", "."]) == 0
    assert tree(tmp_path / "here") == {"train.json": TRAIN, "test.json": DEV}


def test_bad_records_end_with_2_and_stay(tmp_path: Path, capsys):
    """Both files are reported, the hint names the setting, and the files are there to be used with it."""
    bad = json.dumps([record(1), {"src": "q", "tgt": [], "responses": ["a", "b"], "labels": ["+"]}]).encode()
    worse = json.dumps([record(1), record(2, "+?")]).encode()
    archive = tarball(tmp_path / "x.tar.gz", ("train.json", bad), ("test.json", worse))
    assert main(["--archive", str(archive), "--output", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr()
    assert "train.json: 2 records, 1 kept, 1 bad (" in shown.out and "test.json: 2 records, 1 kept" in shown.out
    assert "skip_bad_records: true" in shown.err and '"?"' in shown.err
    assert tree(tmp_path / "out") == {"train.json": bad, "test.json": worse}


def test_errors_end_with_1_in_one_paragraph(tmp_path: Path, capsys):
    """No stack of frames for a missing archive, and no folder left."""
    assert main(["--archive", str(tmp_path / "none.tar.gz"), "--output", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and "none.tar.gz: No such file" in shown and shown.count("\n") == 1
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/x", "x.tar.gz", "http://", "http://[::1", "http://h/a b"]
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str, capsys):
    """Only the web is fetched from; a local file is named by --archive."""
    with pytest.raises(SystemExit, match="2"):
        main(["--url", url, "--output", str(tmp_path / "out")])
    assert "--url" in capsys.readouterr().err


def test_a_download_that_cannot_be_unpacked_is_kept_for_archive(site: Site, tmp_path: Path, capsys):
    """Choosing other members does not take a second download; the same command does not begin one unasked."""
    site.content = tarball(tmp_path / "x.tar.gz", ("a.json", TRAIN), ("b.json", DEV)).read_bytes()
    command = ["--url", site.url, "--output", str(tmp_path / "data" / "out")]
    kept = tmp_path / "data" / "math-shepherd.tar.gz"
    assert main(command) == 1
    assert f"kept as {kept}, for --archive" in capsys.readouterr().err and kept.read_bytes() == site.content
    assert main(command) == 1
    assert "exists already" in capsys.readouterr().err and len(site.asked) == 1
    members = ["--train_member", "a.json", "--dev_member", "b.json"]
    assert main(["--archive", str(kept), *command[2:], *members]) == 0
    assert tree(tmp_path / "data" / "out") == {"train.json": TRAIN, "test.json": DEV}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPT), *arguments]
    environment = {**os.environ, "no_proxy": "*"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.runs
def test_the_command_from_another_folder(site: Site, good: Path, tmp_path: Path):
    """Download through a dropped connection, unpack, check; then a second run that asks for nothing."""
    site.content, site.plan = good.read_bytes(), [DROP]
    other = tmp_path / "elsewhere"
    other.mkdir()
    first = run("--url", site.url, "--output", "data/Math-Shepherd", cwd=other)
    assert first.returncode == 0, first.stderr
    assert "5 records, 5 kept" in first.stdout and "trying again in 1 s" in first.stderr
    result = {"data/Math-Shepherd/train.json": TRAIN, "data/Math-Shepherd/test.json": DEV}
    assert tree(other) == result and len(site.asked) == 2
    second = run("--output", "data/Math-Shepherd", cwd=other)
    assert second.returncode == 0, second.stderr
    assert "has both files already" in second.stdout and "5 records, 5 kept" in second.stdout
    assert tree(other) == result and len(site.asked) == 2
