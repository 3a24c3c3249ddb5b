"""Types that a setting can have, and values checked against them: from JSON, from the command line, to text."""

from __future__ import annotations

import difflib
import json
import re
import types
from contextlib import suppress
from dataclasses import MISSING
from enum import Enum
from functools import reduce
from operator import or_
from pathlib import Path, PurePath
from typing import Any, Literal, Union, get_args, get_origin

from llm.core.console import visible
from llm.core.strict_json import key_given_twice

NoneType = type(None)
NAMES = {
    bool: "true/false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    dict: "object",
    list: "list",
    NoneType: "null",
    Any: "any value",
}
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
BLANK = re.compile(r"[ \t\r\n]*")


def narrow(hint: Any, choices: list) -> Any:
    """The type with its values restricted to the choices, through Optional and list."""
    if not choices or hint is NoneType:
        return hint
    if len(options(hint)) > 1:
        return reduce(or_, (narrow(kind, choices) for kind in options(hint)))
    return list[narrow(item_of(hint), choices)] if is_list(hint) else Literal[tuple(choices)]  # type: ignore[misc]  # the choices are known only here


def check_kind(hint: Any, where: str) -> None:
    """A class may only declare types that a JSON value can be checked against."""
    for kind in options(hint):
        if is_list(kind):
            check_kind(item_of(kind), where)
        elif not choices_of(kind) and kind not in NAMES:
            raise TypeError(f"{where}: {kind} is not a type for a setting")


def options(hint: Any) -> tuple:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def is_list(kind: Any) -> bool:
    return kind is list or get_origin(kind) is list


def item_of(kind: Any) -> Any:
    return (get_args(kind) or (Any,))[0]


def choices_of(kind: Any) -> list:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [plain(member) for member in kind]
    return list(get_args(kind)) if get_origin(kind) is Literal else []


def describe(hint: Any) -> str:
    if len(options(hint)) > 1:
        return " or ".join(map(describe, options(hint)))
    if is_list(hint):
        return f"list of {describe(item_of(hint))}"
    return f"one of {', '.join(map(show, choices_of(hint)))}" if choices_of(hint) else NAMES[hint]


def accept(hint: Any, value: Any, alone: bool = True) -> Any:
    """The value as the type wants it; ValueError when it is of another type or not among the choices.

    A value that is `alone` may be the only element of a list; an element of a list may not, because
    [1, 100] where [[1, 100]] is meant would become [[1], [100]].
    """
    kinds = [kind for kind in options(hint) if kind is not NoneType]
    if len(kinds) < len(options(hint)):
        if value is None:
            return None
        if value == "None":
            raise ValueError("the word None is not null; write null for no value")
    for kind in kinds:
        if (fitting := as_kind(kind, value)) is not MISSING:
            return fitting
    for kind in filter(is_list, kinds if alone and value is not None and not isinstance(value, list) else ()):
        with suppress(ValueError):
            return as_kind(kind, [value])
    choices = {str(choice).lower(): choice for kind in kinds for choice in choices_of(kind)}
    near = difflib.get_close_matches(str(value).lower(), choices, n=1)
    nearest = f"; did you mean {show(choices[near[0]])}?" if near else ""
    got = "" if isinstance(value, str) and choices else f", got {kind_of(value)}"  # a text like the choices
    raise ValueError(f"expected {describe(hint)}{got}{nearest}")


def as_kind(kind: Any, value: Any) -> Any:
    """The value as a type that is no Union, or MISSING; ValueError names the element of a list at fault."""
    if is_list(kind):
        return as_list(item_of(kind), value) if isinstance(value, list) else MISSING
    if choices := choices_of(kind):
        if value not in choices or isinstance(value, bool) and not any(choice is value for choice in choices):
            return MISSING  # True == 1, but is not meant by it
        choice = choices[choices.index(value)]
        return choice if get_origin(kind) is Literal else kind(choice)
    exact = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    if kind is int and (type(value) is int or exact):
        return int(value)
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    return value if kind is Any or type(value) is kind else MISSING


def as_list(item: Any, value: list) -> list:
    elements = []
    for position, element in enumerate(value, start=1):
        try:
            elements.append(accept(item, element, alone=False))
        except ValueError as error:
            raise ValueError(f"element {position}, {show(element)}: {error}") from None
    return elements


def check_sound(value: Any) -> None:
    """Refuse what JSON cannot hold: it could neither be computed with nor be saved and read back."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("the text is not valid Unicode") from None
    except ValueError:
        raise ValueError("expected a finite number, not NaN or infinity") from None


def interpret(hint: Any, words: list[str]) -> Any:
    """What words of a command line say, in JSON form; what they come closest to when they fit no type."""
    kinds = [kind for kind in options(hint) if kind is not NoneType]
    if words == ["null"] and len(kinds) < len(options(hint)):
        return None
    lists = [kind for kind in kinds if is_list(kind)]
    texts = [kind for kind in kinds if kind in (str, Path)]  # after the others: any word is a text
    others = [kind for kind in kinds if kind not in lists and kind not in texts]
    many = len(words) > 1 or isinstance(json_or_word(words[0]), list)
    readings = [
        (kind, word_as(kind, words)) for kind in ([*lists, *others, *texts] if many else [*others, *texts, *lists])
    ]
    for kind, value in readings:
        with suppress(ValueError):  # of an element of a list
            if as_kind(kind, value) is not MISSING:
                return value
    return readings[0][1]


def word_as(kind: Any, words: list[str]) -> Any:
    """What the words are meant to be if they are meant to be of this type that is no Union; not checked."""
    if is_list(kind):
        whole = json_or_word(words[0])
        if len(words) == 1 and isinstance(whole, list):
            return whole
        nested = any(map(is_list, options(item_of(kind))))
        return [json_or_word(word) if nested else interpret(item_of(kind), [word]) for word in words]
    word = words[0]
    if len(words) > 1:
        return words
    if kind is bool:
        return TRUTH.get(word.lower(), word)
    if kind in (int, float):
        return number(word) if NUMBER.fullmatch(word) else word
    if choices := choices_of(kind):
        return next((choice for choice in choices if str(choice) == word), word)
    return word if kind in (str, Path) else json_or_word(word)


def number(word: str) -> int | float:
    """A number as exact as it is written; one beyond any float is infinity, which is refused later."""
    return int(word) if re.fullmatch(r"[+-]?\d{1,300}", word) else float(word)


def strict_json(text: str) -> Any:
    """The JSON value, where a key given twice in an object is an error."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if (twice := key_given_twice(pairs)) is not None:
            raise ValueError(f"{show(twice)} is given twice in this object; keep one of them")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=unique, parse_int=number)


def json_or_word(word: str) -> Any:
    try:
        return strict_json(word)
    except (ValueError, RecursionError):
        return word


def plain(value: Any) -> Any:
    """A value in its JSON form."""
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(element) for element in value]
    return {key: plain(element) for key, element in value.items()} if isinstance(value, dict) else value


def kind_of(value: Any) -> str:
    if isinstance(value, float):
        return "number too large to be exact" if value.is_integer() else "number with a fraction"
    return {int: "integer", list: "list"}.get(type(value)) or NAMES[type(value)]


def show(value: Any, limit: int = 100) -> str:
    """A value as JSON on one line, short enough for a message."""
    return shorten(json.dumps(value, ensure_ascii=False), limit)


def shorten(text: str, limit: int = 100) -> str:
    text = text if len(text) <= limit else f"{text[: limit - 30]} ... {text[-25:]}"
    return visible(text)
