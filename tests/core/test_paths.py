"""A path setting means files, or an error that helps to find the right path."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm.core import paths
from llm.core.paths import REPOSITORY, find_files, resolve_path

NAMES = ["b.json", "a.jsonl", "c.JSON.gz", "d.jsonl.gz", "e.txt", ".f.json", "more/g.json", "x,y.json", "z.jsonl.zst"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "data"


@pytest.mark.parametrize(
    "paths, names",
    [
        ("data/e.txt", ["e.txt"]),
        (Path("data/e.txt"), ["e.txt"]),
        (["data/b.json", "data/a.jsonl", "data/b.json"], ["b.json", "a.jsonl", "b.json"]),
        ("data/b.json, data/a.jsonl,", ["b.json", "a.jsonl"]),
        ("data/x,y.json", ["x,y.json"]),
        ("data", ["a.jsonl", "b.json", "c.JSON.gz", "d.jsonl.gz", "x,y.json", "z.jsonl.zst"]),
        ("data/*.json", ["b.json", "x,y.json"]),
        ("data/**/*.json", ["b.json", "more/g.json", "x,y.json"]),
        ("data/[de]*", ["d.jsonl.gz", "e.txt"]),
        (["data/more", "data/*.txt,data/b.json"], ["more/g.json", "e.txt", "b.json"]),
    ],
)
def test_path_settings(folder, paths, names):
    """A file, a list, commas, a folder (not its sub-folders or hidden files) and a glob."""
    assert find_files(paths) == [folder / name for name in names]


def test_a_name_that_exists_is_no_glob(folder):
    """Brackets in a name are plain characters where such a file exists."""
    odd = folder / "[a]"
    odd.mkdir()
    (odd / "[1].json").touch()
    assert find_files(str(odd / "[1].json")) == [odd / "[1].json"]
    assert find_files("data/[[]a]/*") == [odd / "[1].json"]


def test_a_glob_is_one_below_the_working_directory_only(folder, monkeypatch):
    """Brackets in the working directory's own name are no part of the glob."""
    odd = folder / "[a]"
    odd.mkdir()
    (odd / "1.json").touch()
    monkeypatch.chdir(odd)
    assert find_files("*.json") == [odd / "1.json"]


def test_the_working_directory_comes_before_the_repository(tmp_path, monkeypatch):
    """Settings that name files of the repository work from everywhere, and a user's own file wins."""
    monkeypatch.chdir(tmp_path)
    there = REPOSITORY / "llm" / "core" / "paths.py"
    assert resolve_path("llm/core/paths.py") == there
    assert find_files("llm/core/paths.*") == [there]
    here = tmp_path / "llm" / "core" / "paths.py"
    here.parent.mkdir(parents=True)
    here.touch()
    assert resolve_path("llm/core/paths.py") == here
    assert find_files("llm/core/paths.*") == [here]
    assert resolve_path(there) == there


def test_the_home_folder(tmp_path, monkeypatch):
    """`~` stands for it, as in a shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert resolve_path("~/model") == tmp_path / "model"


def test_every_path_that_means_nothing_is_told(folder):
    """All at once, each with the value, the places tried and a near name."""
    wrong = ["data/bb.json", "dtaa/*.json", "data/*.csv", "", "/no/such", "data/more/none", "n" * 300]
    with pytest.raises(ValueError) as caught:
        find_files([*wrong, "data/b.json"])
    told = str(caught.value).splitlines()
    here = f"(looked in the working directory {folder.parent} and in {REPOSITORY}); "
    assert told[0] == f"'data/bb.json' does not exist {here}did you mean {folder / 'b.json'}?"
    assert told[1] == f"'dtaa/*.json' matches no file {here}did you mean {folder}?"
    assert told[2].startswith("'data/*.csv' matches no file (looked in ")
    assert told[3] == "'' is an empty path; give the path of a file or folder"
    assert told[4].startswith(f"'/no/such' does not exist (the working directory is {folder.parent}); ")
    assert told[5] == f"'data/more/none' does not exist {here}give the path of an existing file or folder"
    assert len(told) == len(wrong)
    with pytest.raises(ValueError) as caught:
        resolve_path("data/bb.json")
    assert str(caught.value) == told[0]


def test_a_folder_without_data(folder):
    """Files in its sub-folders are not taken in silence; the message says how to name them."""
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"has no file that ends in \.json, .* such as .*/empty/\*\*/\*\.json"):
        find_files("data/empty")


@pytest.mark.parametrize("paths", [None, 3, [3], [], ","])
def test_a_setting_without_any_path(paths):
    with pytest.raises(ValueError, match="names no file; give|is not a path; give"):
        find_files(paths)


def test_what_lies_beside_an_installed_package_is_not_meant_unless_it_is_this_projects(folder, monkeypatch):
    """Beside it is site-packages, where a relative path could be any package's."""
    assert resolve_path("docs") == REPOSITORY / "docs"
    monkeypatch.setattr(paths, "IS_CLONE", False)
    with pytest.raises(ValueError, match=r"'docs' does not exist \(looked in the working directory \S+\);"):
        resolve_path("docs")
    assert resolve_path("llm/config") == REPOSITORY / "llm/config"
