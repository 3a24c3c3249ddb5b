"""The command that fetches Math-Shepherd: from a server on this machine, and from archives made here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm.data.get_math_shepherd import OUTPUT, main
from tests.data.conftest import DROP, Site
from tests.data.math_shepherd import DEV, LINES, TRAIN, record, tarball
from tests.data.test_archive import tree

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "llm" / "data" / "get_math_shepherd.py"


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
