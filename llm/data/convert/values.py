"""Values of a row, checked: Unfit, which names the field, where one cannot be what its format says.

Numbers are taken as published files have them: 1, 1.0, "1", and NaN, "" or null for a missing one, because columns
with gaps are floating point in Parquet, and all values of csv files are strings. true and false are numbers only where
a format says so.
"""

from __future__ import annotations

import json
import math

from llm.core.console import listed
from llm.data.convert.form import RIGHT, WRONG, Row, Unfit

SIGNS = {RIGHT: RIGHT, WRONG: WRONG}
TRUTHS = {"true": 1.0, "false": 0.0}


def text(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise Unfit(value, "wrong type", name, "it is a string")
    return value


def inside(row: Row, name: str) -> Row:
    return inner(row.get(name), name, "it is an object")


def inner(value: object, where: str, remedy: str, *names: str) -> Row:
    """An object that has these fields."""
    if not isinstance(value, dict) or not all(name in value for name in names):
        raise Unfit(value, "wrong type", where, remedy)
    return value


def given(row: Row, *names: str) -> str:
    """The first of the names that the row has a value for; Unfit if it has none."""
    for name in names:
        if row.get(name) is not None:
            return name
    raise Unfit(list(row), "missing key", f"no {' and no '.join(names)}", "a row of this format has one of them")


def texts(row: Row, name: str) -> list[str]:
    """A list of strings."""
    values = items(row, name)
    if not {str}.issuperset(map(type, values)):
        number, value = next((number, value) for number, value in enumerate(values) if not isinstance(value, str))
        raise Unfit(value, "wrong type", f"{name}[{number}]", f"{name} is a list of strings")
    return values


def items(row: Row, name: str) -> list:
    """A list, which may be written as JSON where a file has only strings."""
    value = row.get(name)
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Unfit(value, "not a list", name, "write it as a JSON list") from None
    if not isinstance(value, list):
        raise Unfit(value, "wrong type", name, "it is a list")
    return value


def number(value: object, where: str, truths: bool = False) -> float | None:
    """None for a missing one. `truths`: true and false are 1 and 0."""
    if isinstance(value, str):
        value = _from_text(value, where, truths)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) and truths:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) == math.inf:
        raise Unfit(value, "wrong type", where, "it is a number")
    return value


def _from_text(value: str, where: str, truths: bool) -> float | None:
    word = value.strip().lower()
    if word in ("", "null", "none", "nan"):
        return None
    if truths and word in TRUTHS:
        return TRUTHS[word]
    try:
        return float(word)
    except ValueError:
        raise Unfit(value, "wrong type", where, "it is a number") from None


def whole(value: object, where: str) -> int | None:
    found = number(value, where)
    if found is not None and found != int(found):
        raise Unfit(value, "wrong type", where, "it is a whole number")
    return None if found is None else int(found)


def sign(value: object, where: str) -> str:
    """A label that is right or wrong: true, 1, "+", and their like."""
    if isinstance(value, str) and value.strip() in SIGNS:
        return value.strip()
    found = _label(value, where)
    if found not in (0, 1):
        raise Unfit(value, "unknown label", where, "it is true or false, 1 or 0, + or -")
    return RIGHT if found else WRONG


def label(value: object, where: str) -> str | float | None:
    """A label as above, one between 0 and 1, or a missing one."""
    if isinstance(value, str) and value.strip() in SIGNS:
        return value.strip()
    found = _label(value, where)
    if found is not None and not 0 <= found <= 1:
        raise Unfit(value, "label out of range", where, "it is from 0 to 1, + or -")
    return WRONG if found == 0 else RIGHT if found == 1 else found


def _label(value: object, where: str) -> float | None:
    try:
        return number(value, where, truths=True)
    except Unfit:
        raise Unfit(value, "unknown label", where, "it is true or false, a number from 0 to 1, + or -") from None


def same_length(steps: list, labels: list, where: str) -> None:
    if len(steps) != len(labels):
        detail = f"{where}: {len(steps)} and {len(labels)}"
        raise Unfit(labels, "steps and labels differ in number", detail, "give each step one label")


def one_of(value: object, allowed: tuple, reason: str, where: str) -> None:
    if value not in allowed:
        raise Unfit(value, reason, where, f"it is {listed(allowed, most=9)}")
