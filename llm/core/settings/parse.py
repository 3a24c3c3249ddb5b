"""Settings from a strict JSON file and command line flags, with the place every value came from.

    SCRIPT CONFIG.json [--key value ...]       SCRIPT --key value ...       SCRIPT --help

`parse` reads both into `Settings`; the caller looks at them, changes defaults that cannot hold, and calls
`Settings.build` for the dataclass instances. A key is known or refused, never guessed: prefixes, misprints,
a key given twice and a value of the wrong type are errors that say what to write, all of them at once.

Accepted beyond the plain cases:
- 5.0 and 1e3 for an integer, because each means exactly one integer (5.5 is refused).
- A single value for a list: `"report_to": "visualdl"` is the list of that one value.
- On the command line: hyphens for underscores (`--max-steps`), `--flag` and `--no_flag` for booleans,
  true/false/yes/no/1/0 in any case, several words or one JSON list for a list, `null` where null is allowed,
  `--key=--value` for a value that begins with `--`.
Refused although one could guess: numbers and booleans in quotes and 0 or 1 for a boolean in the file, the
word None for null, and null for a parameter that has no null.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llm.core.console import visible
from llm.core.paths import resolve_path
from llm.core.settings.display import help_text
from llm.core.settings.settings import MOST_SHOWN, Parameter, Settings, SettingsError, collect, problem
from llm.core.settings.values import (
    BLANK,
    describe,
    interpret,
    is_list,
    kind_of,
    number,
    options,
    plain,
    shorten,
    show,
    strict_json,
)

MOST_BYTES = 16 << 20  # of a settings file
SCHEMA = "$schema"  # names a file that editors complete keys from: python -m llm schema


def parse(
    classes: tuple[type, ...],
    argv: list[str],
    description: str,
    misprints: Mapping[str, str] = MappingProxyType({}),
    is_unobeyed: Callable[[str], bool] = lambda name: False,
) -> Settings:
    """Settings for `classes` from `argv` (without the script's name), the command line over the file.

    What is wrong is noted in the settings, whose `check` or `build` raises all of it at once, so that a caller can add
    what else is wrong; a setting that could not be read has its default until then. `misprints` maps wrong names that
    users are known to write to the right ones; for a name that `is_unobeyed`, the message says that only a library has
    it. `--help` prints every parameter and exits.
    """
    parameters = collect(classes)
    config, strays, flags = split_words(argv)
    if "--help" in argv or "-h" in strays:
        print(help_text(parameters, description))
        raise SystemExit(0)
    settings = Settings(classes, parameters)
    settings.problems += [
        f"command line: {show(word)}: belongs to no flag; write CONFIG.json first and the rest as --key value"
        for word in strays
    ]
    entries: list[tuple[str, Entry]] = []
    readable = True
    try:
        entries += [("file", entry) for entry in (file_entries(config) if config is not None else ())]
    except SettingsError as error:
        readable = False
        settings.problems += error.problems
    entries += [("command line", entry) for entry in flag_entries(flags, parameters)]
    first: dict[tuple[str, str], str] = {}  # (origin, key) -> its first place
    for origin, (name, place, text, read) in entries:
        try:
            if (origin, name) in first:
                raise ValueError(f"given twice (before: {first[origin, name]}); keep one of them")
            first[origin, name] = place
            if name not in parameters:
                is_shown = len(settings.problems) < MOST_SHOWN  # to look for what was meant takes its time
                meant = meant_by(name, parameters, misprints) if is_shown else []
                settings.misread |= {*meant}
                raise ValueError(unknown(name, meant, name in misprints, is_unobeyed(name)))
            settings.values[name] = plain(parameters[name].accept(read()))
            settings.origin[name], settings.place[name] = origin, place
        except ValueError as error:
            settings.problems.append(problem(place, name, text, str(error)))
            settings.misread.add(name)
    written = {name for _, name in first}
    missing = [name for name, parameter in parameters.items() if parameter.default is MISSING and name not in written]
    if readable:
        settings.problems += [
            f"{name}: has no default and is not given; write it in the file or as --{name} VALUE" for name in missing
        ]
    settings.misread |= {*missing} if readable else {*parameters}
    return settings


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
            flags.append((name.replace("-", "_"), [value] if equals else []))
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
            read = partial(flag_value, parameters.get(name), words)  # type: ignore[arg-type]  # no parameter: not read
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
        raise ValueError(
            f"a value is missing, expected {describe(parameter.hint)}; one that begins with -- "
            f"is written --{parameter.name}=VALUE"
        )
    if len(words) > 1 and not any(map(is_list, kinds)):
        raise ValueError("takes one value; leave out the other words, or put quotes around all of them")
    return interpret(parameter.hint, words)


def file_entries(config: str) -> list[Entry]:
    """The members of the JSON object in a file, each with its line; SettingsError when it holds none."""
    name = visible(config) or '""'
    try:
        content = _find(config).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        why = getattr(error, "strerror", error)
        raise SettingsError(
            [f"{name}: cannot be read: {why}; the first word has to name a JSON file or be a --flag"]
        ) from error
    if len(content) > MOST_BYTES:
        raise SettingsError([f"{name}: has {len(content):,} bytes, more than {MOST_BYTES:,}: this is another file"])
    try:
        text = content.decode("utf-8-sig")
        document = json.JSONDecoder(parse_int=number).decode(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise SettingsError(
            [f"{name}:{line}:{column}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"]
        ) from error
    except json.JSONDecodeError as error:
        shown = show(text.split("\n")[error.lineno - 1])
        raise SettingsError(
            [
                f"{name}:{error.lineno}:{error.colno}: not JSON: {error.msg}, in {shown}; "
                "keys and texts need double quotes, comments and a comma after the last value "
                "are not allowed"
            ]
        ) from error
    except RecursionError as error:
        raise SettingsError([f"{name}: nested too deeply; settings are pairs of key and value"]) from error
    if not isinstance(document, dict):
        raise SettingsError(
            [
                f"{name}: expected one JSON object of settings, got {kind_of(document)}; write "
                'it as {"key": value, ...}'
            ]
        )
    return [
        (key, f"{name}:{line}", shorten(" ".join(value.split())), partial(strict_json, value))
        for key, value, line in members(text)
        if key != SCHEMA
    ]


def _find(config: str) -> Path:
    """From the working directory, and then among the project's own files: llm/config/..."""
    try:
        return resolve_path(config)
    except ValueError:
        return Path(config)


def members(text: str) -> Iterator[tuple[str, str, int]]:
    """(key, value as written, line) of a valid JSON object, where json.loads would drop repeated keys."""
    decoder = json.JSONDecoder(parse_int=number)

    def skip(at: int) -> int:
        return BLANK.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too

    at, line, counted = skip(skip(0) + 1), 1, 0
    while text[at] != "}":
        line, counted = line + text.count("\n", counted, at), at
        key, at = decoder.raw_decode(text, at)
        start = skip(skip(at) + 1)
        _, end = decoder.raw_decode(text, start)
        yield key, text[start:end], line
        at = skip(end)
        at = skip(at + 1) if text[at] == "," else at


def meant_by(name: str, parameters: Iterable[str], misprints: Mapping[str, str]) -> list[str]:
    """The parameters that an unknown name may have been meant to be."""
    if name in misprints:
        return [misprints[name]]
    longer = [known for known in parameters if name and known.startswith(name)]
    return longer or difflib.get_close_matches(name.lower().replace("-", "_"), parameters, n=1)


def unknown(name: str, meant: list[str], is_misprint: bool, is_unobeyed: bool) -> str:
    """Why a key is refused that no class has."""
    if is_unobeyed:
        return "PaddleNLP's Trainer has it, but it has no effect here; remove it"
    if name.startswith(("_", "#", "/")):
        return "unknown setting, and JSON has no comments; remove it"
    if not meant:
        return "unknown setting; --help lists them all"
    names = " or ".join([*meant[:3], *([f"{len(meant) - 3} others"] if len(meant) > 3 else [])])
    is_abbreviation = meant[0].startswith(name) and not is_misprint
    return f"unknown setting{', and names are not abbreviated' if is_abbreviation else ''}; write {names}"
