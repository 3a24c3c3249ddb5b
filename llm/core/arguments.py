"""Settings from a strict JSON file and command line flags, with the place every value came from.

    SCRIPT CONFIG.json [--key value ...]       SCRIPT --key value ...       SCRIPT --help

`parse` reads both into `Settings`; the caller looks at them, lets defaults give way, and calls
`Settings.build` for the dataclass instances. A key is known or refused, never guessed: prefixes, misprints,
a key given twice and a value of the wrong type are errors that say what to write, all of them at once.

Accepted beyond the plain cases:
- 5.0 and 1e3 for an integer, because each means exactly one integer (5.5 is refused).
- A single value for a list: `"report_to": "visualdl"` is the list of that one value.
- On the command line: `--flag` and `--no_flag` for booleans, true/false/yes/no/1/0 in any case, several
  words or one JSON list for a list, `null` where null is allowed, `--key=--value` for a value that begins
  with `--`.
Refused although one could guess: numbers and booleans in quotes and 0 or 1 for a boolean in the file, the
word None for null, and null for a parameter that has no null.
"""

from __future__ import annotations

import difflib
import inspect
import json
import os
import re
import shutil
import sys
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from functools import partial, reduce
from operator import or_
from pathlib import Path, PurePath
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

NoneType = type(None)
NAMES = {bool: "true/false", int: "integer", float: "number", str: "text", Path: "path", dict: "object",
         list: "list", NoneType: "null", Any: "any value"}
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
BLANK = re.compile(r"[ \t\r\n]*")
HIDDEN = "(hidden)"  # what is shown of a key to somebody's account; it is not saved either


class SettingsError(ValueError):
    """Every problem of the settings at once; `problems` has a line for each."""

    def __init__(self, problems: list[str]):
        self.problems = list(problems)
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n  ".join([f"the settings have {count}:", *self.problems]))


@dataclass(frozen=True)
class Parameter:
    """One key: a field of one of the classes, or of several that share its name."""

    name: str
    hint: Any  # the field's type, a Literal if its metadata have "choices", Optional if its default is None
    default: Any  # in its JSON form; MISSING when the user has to give it
    help: str
    owner: type  # the class that declares it
    documented: bool  # declared by one of the classes given, not inherited by it

    def accept(self, value: Any) -> Any:
        """The value as the dataclass wants it, from its JSON form; ValueError says why not and what to do."""
        try:
            check_sound(value)
            return accept(self.hint, value)
        except ValueError as error:
            remedy = "" if self.default is MISSING else f"; the default is {show(self.default)}"
            if isinstance(value, str | int | float):  # right but for its quotes?
                meant = interpret(self.hint, [value if isinstance(value, str) else json.dumps(value)])
                with suppress(ValueError):
                    check_sound(meant)
                    accept(self.hint, meant)
                    remedy = f"; write {show(meant)}"
            raise ValueError(f"{error}{remedy}") from None


class Settings:
    """What was asked for. `settings[name]` is a value in its JSON form (an Enum's value, a Path's text)."""

    def __init__(self, classes: tuple[type, ...], parameters: dict[str, Parameter]):
        self.classes = classes
        self.parameters = parameters
        self.values: dict[str, Any] = {}  # what the user wrote, nothing else
        self.origin = dict.fromkeys(parameters, "default")  # or "file" or "command line"
        self.place: dict[str, str] = {}  # of what the user wrote: "config.json:3" or "command line"
        self.changed: dict[str, Any] = {}  # the defaults that gave way
        self.gave_way: list[str] = []  # a line to print for each of them
        self.problems: list[str] = []

    def __getitem__(self, name: str) -> Any:
        default = self.parameters[name].default
        return self.values.get(name, self.changed.get(name, default))

    def give_way(self, name: str, value: Any, why: str) -> None:
        """Use `value` instead of a default, and note it; what the user wrote is refused, never changed."""
        before, value = self[name], plain(self.parameters[name].accept(plain(value)))
        if before == value:
            return
        if self.origin[name] == "default":
            self.changed[name] = value
            self.gave_way.append(f"{name}: {show(before)} -> {show(value)}: {why}")
        else:
            self.refuse(name, f"{why}; write {show(value)} or leave it out")

    def refuse(self, name: str, why: str) -> None:
        """Note a problem with a value (`why` also says what to do); `check` and `build` raise all of them."""
        self.problems.append(problem(self.place.get(name, "default"), name, show(self[name]), why))

    def check(self) -> None:
        """Raise the problems noted so far, if any."""
        if self.problems:
            raise SettingsError(self.problems)

    def build(self) -> tuple[Any, ...]:
        """An instance of each class, in their order; what a class has against its values is raised."""
        self.check()
        given = self.changed | self.values
        instances = []
        for cls in self.classes:
            names = [field.name for field in fields(cls) if field.init and field.name in given]
            values = {name: self.parameters[name].accept(given[name]) for name in names}
            try:
                instances.append(cls(**values))
            except (ValueError, AssertionError) as error:  # from a __post_init__ that checks combinations
                raise SettingsError([f"{cls.__name__}: {' '.join(str(error).split())}"]) from error
        return tuple(instances)


def parse(classes: tuple[type, ...], argv: list[str], description: str,
          misprints: dict[str, str] | None = None) -> Settings:
    """Settings for `classes` from `argv` (without the script's name), the command line over the file.

    `misprints` maps wrong names that users are known to write to the right ones. All problems are raised at
    once as SettingsError. `--help` prints every parameter and exits.
    """
    parameters = collect(classes)
    config, strays, flags = split_words(argv)
    if "--help" in argv or "-h" in strays:
        print(help_text(parameters, description))
        raise SystemExit(0)
    settings = Settings(classes, parameters)
    problems = [f"command line: {show(word)}: belongs to no flag; write CONFIG.json first and the rest as "
                "--key value" for word in strays]
    try:
        entries = [("file", *entry) for entry in file_entries(config)] if config is not None else []
        readable = True
    except SettingsError as error:
        entries, readable = [], False
        problems += error.problems
    entries += [("command line", *entry) for entry in flag_entries(flags, parameters)]

    first: dict[tuple[str, str], str] = {}  # (origin, key) -> the place where it stands first
    for origin, name, place, text, read in entries:
        try:
            if (origin, name) in first:
                raise ValueError(f"given twice (before: {first[origin, name]}); keep one of them")
            first[origin, name] = place
            if name not in parameters:
                raise ValueError(unknown(name, parameters, misprints or {}))
            settings.values[name] = plain(parameters[name].accept(read()))
            settings.origin[name], settings.place[name] = origin, place
        except ValueError as error:
            problems.append(problem(place, name, text, str(error)))
    if readable:
        written = {name for _, name in first}
        problems += [f"{name}: has no default and is not given; write it in the file or as --{name} VALUE"
                     for name, parameter in parameters.items()
                     if parameter.default is MISSING and name not in written]
    if problems:
        raise SettingsError(problems)
    return settings


# ---- where the words stand --------------------------------------------------------------------------------

# name, place, the value as it is written, and what reads it into its JSON form or raises ValueError
Entry = tuple[str, str, str, Callable[[], Any]]


def split_words(argv: list[str]) -> tuple[str | None, list[str], list[tuple[str, list[str]]]]:
    """The configuration's path, words that belong to nothing, and every flag with the words after it."""
    config = argv[0] if argv and not argv[0].startswith("-") else None
    strays: list[str] = []
    flags: list[tuple[str, list[str]]] = []
    for word in argv[config is not None :]:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            flags.append((name, [value] if equals else []))
        else:
            (flags[-1][1] if flags else strays).append(word)
    return config, strays, flags


def flag_entries(flags: list[tuple[str, list[str]]], parameters: dict[str, Parameter]) -> Iterator[Entry]:
    for name, words in flags:
        positive = parameters.get(name.removeprefix("no_"))
        if name not in parameters and positive and bool in options(positive.hint):
            yield positive.name, "command line", f"--{name}", partial(no_value, words)
        else:
            text = show(words[0] if len(words) == 1 else words) if words else "(no value)"
            read = partial(flag_value, parameters.get(name), words)
            yield name, "command line", text, read


def no_value(words: list[str]) -> bool:
    if words:
        raise ValueError(f"takes no value; leave out {show(' '.join(words))}")
    return False


def flag_value(parameter: Parameter, words: list[str]) -> Any:
    kinds = options(parameter.hint)
    if not words and bool in kinds:
        return True
    if not words:
        raise ValueError(f"a value is missing, expected {describe(parameter.hint)}; one that begins with -- "
                         f"is written --{parameter.name}=VALUE")
    if len(words) > 1 and not any(map(is_list, kinds)):
        raise ValueError("takes one value; leave out the other words, or put quotes around all of them")
    return interpret(parameter.hint, words)


def file_entries(config: str) -> list[Entry]:
    """The members of the JSON object in a file, each with its line; SettingsError when it holds none."""
    name = printable(config) or '""'
    try:
        content = Path(config).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        why = getattr(error, "strerror", error)
        raise SettingsError([f"{name}: cannot be read: {why}; the first word has to name a JSON "
                             "file or be a --flag"]) from error
    try:
        text = content.decode("utf-8-sig")
        document = json.JSONDecoder(parse_int=number).decode(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise SettingsError([f"{name}:{line}:{column}: byte 0x{content[error.start]:02x} is not UTF-8; save "
                             "the file as UTF-8"]) from error
    except json.JSONDecodeError as error:
        line = show(text.split("\n")[error.lineno - 1])
        raise SettingsError([f"{name}:{error.lineno}:{error.colno}: not JSON: {error.msg}, in {line}; "
                             "keys and texts need double quotes, comments and a comma after the last value "
                             "are not allowed"]) from error
    except RecursionError as error:
        raise SettingsError([f"{name}: nested too deeply; settings are pairs of key and value"]) from error
    if not isinstance(document, dict):
        raise SettingsError([f"{name}: expected one JSON object of settings, got {kind_of(document)}; write "
                             'it as {"key": value, ...}'])
    return [(key, f"{name}:{line}", shorten(" ".join(value.split())), partial(strict_json, value))
            for key, value, line in members(text)]


def members(text: str) -> Iterator[tuple[str, str, int]]:
    """(key, value as written, line) of a valid JSON object, where json.loads would drop repeated keys."""
    decoder = json.JSONDecoder(parse_int=number)

    def skip(at: int) -> int:
        return BLANK.match(text, at).end()

    at = skip(skip(0) + 1)
    while text[at] != "}":
        line = text.count("\n", 0, at) + 1
        key, at = decoder.raw_decode(text, at)
        start = skip(skip(at) + 1)
        _, end = decoder.raw_decode(text, start)
        yield key, text[start:end], line
        at = skip(end)
        at = skip(at + 1) if text[at] == "," else at


def unknown(name: str, parameters: Iterable[str], misprints: dict[str, str]) -> str:
    """Why a key is refused that no class has, with the nearest one that exists."""
    if name in misprints:
        return f"there is no such parameter; write {misprints[name]}"
    if name.startswith(("_", "#", "/")):
        return "there is no such parameter, and JSON has no comments; remove it"
    longer = [known for known in parameters if name and known.startswith(name)]
    if longer:
        names = " or ".join([*longer[:3], *([f"{len(longer) - 3} others"] if len(longer) > 3 else [])])
        return f"there is no such parameter, and names are not abbreviated; write {names}"
    near = difflib.get_close_matches(name.lower().replace("-", "_"), parameters, n=1)
    return f"there is no such parameter; {f'write {near[0]}' if near else '--help lists them all'}"


# ---- the parameters ---------------------------------------------------------------------------------------


def collect(classes: tuple[type, ...]) -> dict[str, Parameter]:
    """The parameters of the classes: those they declare themselves in that order, then the inherited ones."""
    found: dict[str, Parameter] = {}
    for cls in classes:
        hints = get_type_hints(cls)
        for field in fields(cls):
            if not field.init:
                continue
            where = f"{cls.__name__}.{field.name}"
            default = plain(field.default if field.default_factory is MISSING else field.default_factory())
            hint = narrow(hints[field.name], [plain(choice) for choice in field.metadata.get("choices", ())])
            hint = hint | None if default is None else hint
            check_kind(hint, where)
            if default is not MISSING:
                check_default(hint, default, where)
            owner = next(base for base in cls.__mro__ if field.name in inspect.get_annotations(base))
            meaning = " ".join(str(field.metadata.get("help", "")).split())
            twin = found.get(field.name)
            if twin and (twin.hint, twin.default) != (hint, default):
                raise TypeError(f"{where} differs in type or default from the one of {twin.owner.__name__}")
            if twin is None or (owner is cls and not twin.documented):
                found[field.name] = Parameter(field.name, hint, default, meaning, owner, owner is cls)
    declared = [name for cls in classes for name in inspect.get_annotations(cls) if name in found]
    return {name: found[name] for name in dict.fromkeys([*declared, *found])}


def narrow(hint: Any, choices: list) -> Any:
    """The type with its values restricted to the choices, through Optional and list."""
    if not choices or hint is NoneType:
        return hint
    if len(options(hint)) > 1:
        return reduce(or_, (narrow(kind, choices) for kind in options(hint)))
    return list[narrow(item_of(hint), choices)] if is_list(hint) else Literal[tuple(choices)]


def check_kind(hint: Any, where: str) -> None:
    """A class may only declare types that a JSON value can be checked against."""
    for kind in options(hint):
        if is_list(kind):
            check_kind(item_of(kind), where)
        elif not choices_of(kind) and kind not in NAMES:
            raise TypeError(f"{where}: {kind} is no type for a setting")


def check_default(hint: Any, default: Any, where: str) -> None:
    """A default has to be one that a user could write, or saved settings could not be read back."""
    try:
        check_sound(default)
        accept(hint, default)
    except ValueError as error:
        raise TypeError(f"{where}: its default {default!r} does not fit: {error}") from error


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


# ---- values -----------------------------------------------------------------------------------------------


def accept(hint: Any, value: Any, alone: bool = True) -> Any:
    """The value as the type wants it; ValueError when it is of another type or not among the choices.

    A value that stands `alone` may be the only element of a list; an element of a list may not, because
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
    raise ValueError(f"expected {describe(hint)}, got {kind_of(value)}{nearest}")


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
        raise ValueError("expected a finite number, no NaN, no infinity") from None


def interpret(hint: Any, words: list[str]) -> Any:
    """What words of a command line say, in JSON form; what they come closest to when they fit no type."""
    kinds = [kind for kind in options(hint) if kind is not NoneType]
    if words == ["null"] and len(kinds) < len(options(hint)):
        return None
    lists = [kind for kind in kinds if is_list(kind)]
    texts = [kind for kind in kinds if kind in (str, Path)]  # after the others: any word is a text
    others = [kind for kind in kinds if kind not in lists and kind not in texts]
    many = len(words) > 1 or isinstance(json_or_word(words[0]), list)
    readings = [(kind, word_as(kind, words))
                for kind in ([*lists, *others, *texts] if many else [*others, *texts, *lists])]
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
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{show(key)} is given twice in this object; keep one of them")
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


# ---- what people read -------------------------------------------------------------------------------------


def show(value: Any, limit: int = 100) -> str:
    """A value as JSON on one line, not longer than a message can bear."""
    return shorten(json.dumps(value, ensure_ascii=False), limit)


def shorten(text: str, limit: int = 100) -> str:
    text = printable(text)
    return text if len(text) <= limit else f"{text[: limit - 30]} ... {text[-25:]}"


def printable(text: str) -> str:
    """The text with escapes for what cannot be written as UTF-8: undecodable bytes, halves of characters."""
    return text.encode(errors="backslashreplace").decode()


def problem(place: str, name: str, text: str, why: str) -> str:
    key = name if name.isidentifier() else show(name)
    return f"{place}: {key} = {HIDDEN if is_secret(name) else text}: {why}"


def is_secret(name: str) -> bool:
    return name.endswith("_api_key")


def help_text(parameters: dict[str, Parameter], description: str) -> str:
    """Every parameter with type, default and meaning: a group for each class, the inherited ones last."""
    width = shutil.get_terminal_size().columns
    usage = ("CONFIG.json holds one object of the keys below; the command line wins over it. --key alone "
             "sets a true/false, --no_key unsets it; a list takes several words.")
    lines = textwrap.wrap(f"usage: {Path(sys.argv[0]).name} [CONFIG.json] [--key value ...]", width)
    for paragraph in [*inspect.cleandoc(description).split("\n\n"), usage]:
        is_command = paragraph.startswith(" ")  # indented: to be copied, so its lines stay whole
        lines += ["", *(paragraph.splitlines() if is_command else textwrap.wrap(paragraph, width))]
    owner = None
    for parameter in parameters.values():
        if parameter.owner is not owner:
            owner = parameter.owner
            inherited = "" if parameter.documented else f": what is inherited from {owner.__module__}"
            lines += ["", *textwrap.wrap(owner.__name__ + inherited, width)]
        default = "required" if parameter.default is MISSING else f"default {show(parameter.default)}"
        lines += textwrap.wrap(f"--{parameter.name}  {describe(parameter.hint)}; {default}", width,
                               initial_indent="  ", subsequent_indent=" " * 10)
        lines += textwrap.wrap(parameter.help, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def render(settings: Settings) -> str:
    """The screen before a run: what the user wrote, the documented defaults, and those that gave way."""
    defaults = [name for name, parameter in settings.parameters.items()
                if name not in settings.values and (parameter.documented or name in settings.changed)]
    groups = {"settings given": [name for name in settings.parameters if name in settings.values],
              "settings by default": defaults}
    shown = [name for names in groups.values() for name in names]
    left = max(map(len, shown), default=0)
    middle = max((len(where(settings, name)) for name in shown), default=0)
    lines = []
    for title, names in groups.items():
        lines.append(title)
        for name in names:
            lines.append(f"  {name:<{left}}  {where(settings, name):<{middle}}  {value_text(settings, name)}")
    if settings.gave_way:
        lines += ["defaults that gave way", *(f"  {line}" for line in settings.gave_way)]
    return "\n".join(lines)


def value_text(settings: Settings, name: str) -> str:
    return HIDDEN if is_secret(name) and settings[name] else show(settings[name], limit=10_000)


def where(settings: Settings, name: str) -> str:
    return settings.place.get(name, "default, gave way" if name in settings.changed else "default")


def save(settings: Settings, instances: tuple[Any, ...], path: str | Path) -> None:
    """Write every setting to `path`, itself a CONFIG.json that asks for the same again, and beside it to
    NAME_origin.json where each came from and, where an instance has made something else of it, what.
    """
    path = Path(path)
    names = [name for name in settings.parameters if not is_secret(name)]
    origins: dict[str, dict[str, Any]] = {name: {"origin": where(settings, name)} for name in names}
    for instance in instances:
        for name in origins.keys() & {field.name for field in fields(instance)}:
            if (in_use := plain(getattr(instance, name, settings[name]))) != settings[name]:
                origins[name]["in_use"] = in_use
    write_json(path, {name: settings[name] for name in names})
    write_json(path.with_name(f"{path.stem}_origin.json"),
               {"origin_of_settings": origins, "gave_way": settings.gave_way})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """All of the file or nothing: a run killed here leaves what was there before."""
    text = json.dumps(content, ensure_ascii=False, indent=2, default=repr)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_text(text + "\n", encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
