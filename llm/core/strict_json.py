"""JSON, read strictly: what the standard library accepts or fails at is refused in plain words. No paddle here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

MOST_BYTES = 64 << 20
MOST_DIGITS = 1000  # of a whole number; Python itself fails at 4300
HALF_OF_A_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")
KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def key_given_twice(pairs: Iterable[tuple[str, Any]]) -> str | None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    return None


def read_object(path: Path, most_bytes: int = MOST_BYTES, with_nan: bool = False) -> dict[str, Any]:
    """The JSON object in a file; ValueError begins with the file's name and says what is wrong."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read ({error.strerror or error})") from error
    return object_of(content, path.name, most_bytes, with_nan)


def text_of(content: bytes, name: str) -> str:
    """A file's text; ValueError begins with the file's `name`."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start + 1} is 0x{content[error.start]:02x}"
        raise ValueError(f"{name} is not UTF-8: {wrong}") from None


def object_of(content: bytes, name: str, most_bytes: int = MOST_BYTES, with_nan: bool = False) -> dict[str, Any]:
    """The same of a file's content. `with_nan` numbers may be NaN or infinite, as in what the library writes."""
    value = value_of(content, name, most_bytes, with_nan)
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {KINDS.get(type(value), 'a number')}, not an object")
    return value


def value_of(content: bytes, name: str, most_bytes: int = MOST_BYTES, with_nan: bool = False) -> Any:
    """Whatever JSON value a file's content is."""
    if len(content) > most_bytes:
        raise ValueError(f"{name} has {len(content):,} bytes, more than {most_bytes:,}: this is another file")
    text = text_of(content, name)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=float if with_nan else _no_constant,
            parse_int=_whole,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"{name} is not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if HALF_OF_A_CHARACTER.search(content):
        _check_characters(value, name)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError(f"{key_given_twice(pairs)!r} is given twice in one object; keep one of them")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; write a number or null")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def _check_characters(value: Any, name: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError) as error:
        why = "is nested too deeply" if isinstance(error, RecursionError) else "holds half of a character (\\ud800)"
        raise ValueError(f"{name} {why}") from None
