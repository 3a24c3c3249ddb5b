"""A file of results that a broken run continues: one line for each row of the input, in its order, and next to it what
it was made of. No paddle here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

from llm.core.files import write_json
from llm.core.strict_json import read_object

SUFFIX = ".run.json"
PACKED = (".gz", ".zst")
REJECTS = ".rejects"  # a file next to it, of rows from which nothing was made


def rejects_of(output: Path) -> Path:
    return output.with_name(output.name + REJECTS)


def rows_done(output: Path, made_of: dict) -> int:
    """How many rows are in the file and in its rejects already; a line that was cut short is removed. ValueError where
    the file is of something else than `made_of`."""
    if output.is_dir():
        raise ValueError(f"OUTPUT: {output} is a folder; name the file to write.")
    if output.suffix in PACKED:
        raise ValueError(
            f"OUTPUT: {output}: results are added to plain JSON Lines; give a name without {output.suffix}."
        )
    record = output.with_name(output.name + SUFFIX)
    begun = any(file.exists() and file.stat().st_size for file in (output, rejects_of(output)))
    if not output.exists() or (record.is_file() and not begun):
        output.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, made_of)
        rejects_of(output).unlink(missing_ok=True)
        return 0
    if not record.exists():
        raise ValueError(
            f"OUTPUT: {output} exists, and there is no {record.name} to say what it was made of, so it is not "
            "continued. Give another file, or delete this one."
        )
    try:
        before = read_object(record)
    except ValueError as error:
        raise ValueError(
            f"OUTPUT: {output}: what it was made of cannot be read ({error}). Give another file, or delete this one."
        ) from None
    if before != made_of:
        names = [name for name in sorted({*before, *made_of}) if before.get(name) != made_of.get(name)]
        differences = "\n  ".join(f"{name}: {before.get(name)!r} then, {made_of.get(name)!r} now" for name in names)
        raise ValueError(
            f"OUTPUT: {output} holds results of another run:\n  {differences}\nGive another file, or delete this one."
        )
    return _complete_lines(output) + _complete_lines(rejects_of(output))


def _complete_lines(output: Path) -> int:
    count = end = 0
    if not output.exists():
        return 0
    with output.open("r+b") as file:
        for line in file:
            if line.endswith(b"\n"):
                count, end = count + 1, end + len(line)
        file.truncate(end)
    return count


def write_row(file: TextIO, row: dict) -> None:
    try:
        text = json.dumps(row, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:  # half of a character, which the row's error is about
        text = json.dumps(row)
    file.write(text + "\n")
