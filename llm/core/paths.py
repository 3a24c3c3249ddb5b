"""Which files a path setting means."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]  # of an installed package, site-packages
IS_CLONE = (REPOSITORY / "pyproject.toml").is_file()
# Where the demo and downloads write: nothing belongs into site-packages.
WORKSPACE = REPOSITORY if IS_CLONE else Path.cwd()
SUFFIXES = tuple(kind + packed for packed in ("", ".gz", ".zst") for kind in (".json", ".jsonl"))

PathSetting = str | os.PathLike | Sequence[str | os.PathLike]


def resolve_path(path: str | os.PathLike) -> Path:
    """The existing file or folder that `path` means, absolute.

    A relative path is looked up from the working directory and then from the repository's root, `~` is the
    home folder. Once installed, only paths into llm/ are looked up next to it, because all else there belongs to other
    packages. Raises ValueError, naming the places tried and a near name if there is one.
    """
    for place in _places(path):
        if os.path.exists(place):
            return place
    raise ValueError(_not_found(path))


def shown_path(path: Path) -> str:
    """As short as it can be said from the working directory."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def find_files(paths: PathSetting, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """The files that a path setting means, in the order in which they are read.

    `paths` is one entry or a list of them; an entry is a file, a folder, a glob (`**` enters sub-folders), or
    several of these with commas between. A folder means the files in it that end in `suffixes`, by name and
    without its sub-folders, hidden files or other names; a glob means what it matches, by path. Entries are
    looked up as in `resolve_path`; a file named twice is read twice. Raises ValueError for all entries that
    mean no file.
    """
    entries = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not isinstance(entries, Sequence) or not all(isinstance(e, str | os.PathLike) for e in entries):
        raise ValueError(f"{paths!r} is not a path; give a file, a folder, a glob, or a list of these")
    files, problems = [], []
    for entry in entries:
        for part in _parts(entry):
            try:
                files += _files_of(part, suffixes)
            except ValueError as error:
                problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    if not files:
        raise ValueError(f"{paths!r} names no file; give a file, a folder, a glob, or a list of these")
    return files


def _bases(path: str | os.PathLike) -> list[Path]:
    ours = IS_CLONE or Path(path).parts[:1] == ("llm",)
    return list(dict.fromkeys((Path.cwd(), REPOSITORY) if ours else (Path.cwd(),)))


def _places(path: str | os.PathLike) -> list[Path]:
    expanded = os.path.expanduser(path)
    if not expanded.strip():
        raise ValueError(f"{str(path)!r} is an empty path; give the path of a file or folder")
    return list(dict.fromkeys(base / expanded for base in _bases(expanded)))


def _parts(entry: str | os.PathLike) -> list[str | os.PathLike]:
    """Splits at commas, unless a comma is part of an existing name."""
    if not isinstance(entry, str) or "," not in entry or any(map(os.path.exists, _places(entry))):
        return [entry]
    return [part.strip() for part in entry.split(",") if part.strip()]


def _files_of(entry: str | os.PathLike, suffixes: tuple[str, ...]) -> list[Path]:
    for place in _places(entry):
        if os.path.isfile(place):
            return [place]
        if os.path.isdir(place):
            return _files_in(place, suffixes)
        if os.path.exists(place):
            raise ValueError(f"{place} is neither a file nor a folder; give what can be read more than once")
    pattern = os.path.expanduser(entry)
    for base in _bases(pattern) if glob.has_magic(pattern) else ():
        matches = sorted(base / match for match in glob.glob(pattern, root_dir=base, recursive=True))
        if files := [match for match in matches if os.path.isfile(match)]:
            return files
    raise ValueError(_not_found(entry))


def _files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    names = sorted(n for n in os.listdir(folder) if n.lower().endswith(suffixes) and n[0] != ".")
    files = [folder / name for name in names if os.path.isfile(folder / name)]
    if not files:
        raise ValueError(
            f"the folder {folder} has no file that ends in {', '.join(suffixes)}; name another folder, "
            f"or a glob such as {folder}/**/*.json for files in sub-folders"
        )
    return files


def _not_found(path: str | os.PathLike) -> str:
    what = "matches no file" if glob.has_magic(os.fspath(path)) else "does not exist"
    where = f" (the working directory is {Path.cwd()})"
    if not os.path.isabs(os.path.expanduser(path)):
        looked_from = [f"the working directory {Path.cwd()}", *(f"{base}" for base in _bases(path)[1:])]
        where = f" (looked in {' and in '.join(looked_from)})"
    near = next(filter(None, map(_near, _places(path))), None)
    advice = f"did you mean {near}?" if near else "give the path of an existing file or folder"
    return f"{str(path)!r} {what}{where}; {advice}"


def _near(place: Path) -> Path | None:
    """The entry most like the first name of `place` that does not exist, if one is like it."""
    folder = next(parent for parent in place.parents if os.path.isdir(parent))
    try:
        names = os.listdir(folder)
    except OSError:
        return None
    close = difflib.get_close_matches(place.relative_to(folder).parts[0], names, n=1)
    return folder / close[0] if close else None
