"""Lists of a folder's files, with the size and a checksum of each: a file that has changed since is noticed, and named.
Checkpoints and finished models have one. No paddle here."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from llm.core.files import checksum, checksum_of_json
from llm.core.strict_json import read_object

OF_CHECKPOINT = "checkpoint_files.json"
SIZE, CHECKSUM, WITHOUT, CHANGES = "size", "checksum", "without", "changes"
KINDS = {SIZE: int, CHECKSUM: str, WITHOUT: str, CHANGES: bool}
FORMS = ({SIZE, CHECKSUM}, {WITHOUT, CHECKSUM}, {CHANGES})  # of what is kept of a file
# an entry of a JSON file that users change: where the model is now that adapters belong to
CHANGED_BY_USERS = {"lora_config.json": "base_model_name_or_path"}
ALL = ("*",)


def facts_of(path: Path, changes: bool = False) -> dict[str, Any]:
    """What a list keeps of a file. One that `changes` later only has to be there."""
    if changes:
        return {CHANGES: True}
    if entry := CHANGED_BY_USERS.get(path.name):
        return {WITHOUT: entry, CHECKSUM: _checksum(path, entry)}
    return {SIZE: path.stat().st_size, CHECKSUM: checksum(path)}


def faults(folder: Path, facts: dict[str, Any], list_name: str, unread: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with the files of a list, or with what it keeps of them. All of them are read, but for those whose
    names match `unread`, of which the size is looked at."""
    found = (_fault(folder / name, name, fact, list_name, matches(name, unread)) for name, fact in facts.items())
    return [fault for fault in found if fault]


def faults_of_checkpoint(
    folder: Path, only: tuple[str, ...] = ALL, unread: tuple[str, ...] = (), ignored: tuple[str, ...] = ()
) -> list[str]:
    """The same of a checkpoint, whose list may be missing. `only` files with such names are looked at, but for those
    that are `ignored`."""
    path = folder / OF_CHECKPOINT
    if not os.path.isfile(path):  # nor can be, under a name that is too long
        return [f"{OF_CHECKPOINT} is missing"]
    try:
        facts = read_object(path)
    except ValueError as error:
        return [str(error)]
    if not facts:
        return [f"{OF_CHECKPOINT} names no file"]
    chosen = {name: fact for name, fact in facts.items() if matches(name, only) and not matches(name, ignored)}
    return faults(folder, chosen, OF_CHECKPOINT, unread)


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _fault(path: Path, name: str, fact: Any, list_name: str, is_unread: bool) -> str:
    if not _is_fact(fact):
        return f"{list_name} has no size and checksum for {name}"
    fact = {SIZE: fact} if isinstance(fact, int) else fact
    try:
        if not path.is_file():
            return f"{name} is missing"
        if SIZE in fact and (found := path.stat().st_size) != fact[SIZE]:
            return f"{name} has {found:,} bytes instead of {fact[SIZE]:,}"
        if CHECKSUM in fact and not is_unread and _checksum(path, fact.get(WITHOUT)) != fact[CHECKSUM]:
            return f"{name} has changed since it was saved (its checksum differs)"
    except (OSError, ValueError) as error:  # an input/output error of the disk, a name that cannot be one
        return f"{name} cannot be read ({error})"
    return ""


def _is_fact(fact: Any) -> bool:
    """An early list has the size alone."""
    if not isinstance(fact, dict):
        return type(fact) is int
    return set(fact) in FORMS and all(type(value) is KINDS[name] for name, value in fact.items())


def _checksum(path: Path, without: str | None) -> str:
    if without is None:
        return checksum(path)
    content = read_object(path)
    content.pop(without, None)
    return checksum_of_json(content)
