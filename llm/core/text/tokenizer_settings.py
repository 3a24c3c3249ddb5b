"""What a tokenizer's files say besides its vocabulary, checked before anything is made of it. No paddle here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from llm.core.console import listed, visible
from llm.core.strict_json import KINDS, object_of

CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.json"
SPECIAL_FILE, ADDED_FILE = OLDER_FILES = ("special_tokens_map.json", "added_tokens.json")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")  # of an added token
NAMED = ("bos_token", "eos_token", "unk_token", "pad_token")
OF_PIECES = "sentencepiece"  # what to obey with the SentencePiece model itself
MOST_IDS = 1 << 24  # published vocabularies have up to 2**18
MOST_GROWTH = 100  # of a text by the normalizer
LONGEST_TOKEN = 1000  # characters
TYPES: dict[str, type] = {
    **dict.fromkeys(("tokenizer_class", "init_class"), str),
    **dict.fromkeys(("add_bos_token", "add_eos_token", "add_prefix_space", "legacy"), bool),
    **dict.fromkeys(("additional_special_tokens", "like_pieces"), list),
    **dict.fromkeys(("added_tokens_decoder", OF_PIECES), dict),
}


def read_config(files: Mapping[str, bytes]) -> dict[str, Any]:
    """tokenizer_config.json, when it and the files that add to it can be obeyed; ValueError with all that cannot."""
    config = object_of(files.get(CONFIG_FILE, b"{}"), CONFIG_FILE)
    problems = [*_problems(config, CONFIG_FILE), *_problems(object_in(files, SPECIAL_FILE), SPECIAL_FILE)]
    problems += [
        f"{ADDED_FILE}: {problem}"
        for text, number in object_in(files, ADDED_FILE).items()
        for problem in [*_problems_of_token("a token", text), *_problems_of_id(text, number)]
    ]
    if problems:
        raise ValueError(listed(problems))
    object_in(files, TEMPLATE_FILE)
    return config


def object_in(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Of a file that may not be there."""
    return object_of(files.get(name, b"{}"), name)


def content_of(token: str | dict | None) -> str | None:
    return token["content"] if isinstance(token, dict) else token


def check_file(file: Mapping[str, Any], ids: Mapping[str, int]) -> None:
    """Of a tokenizer.json: its added tokens have the ids that it says, its post_processor knows what it adds, and its
    normalizer does not make a text of a letter. The tokenizers library gives other ids, fails, or fills the memory."""
    for token in file.get("added_tokens") or []:
        if (found := ids.get(token["content"])) != token["id"]:
            shown = _shown(token["content"])
            raise ValueError(f"tokenizer.json: {shown} is added with the id {token['id']:,}, but it has {found}")
    if lacking := sorted({*_names_without_ids(file.get("post_processor"))}):
        raise ValueError(f"tokenizer.json: its post_processor adds {listed(lacking)}, but has no id for it")
    if (growth := _growth(file.get("normalizer"))) > MOST_GROWTH:
        raise ValueError(f"tokenizer.json: its normalizer makes a text up to {growth:,} times as long")


def check_ids(ids: Mapping[str, int], name: str) -> None:
    if not ids:
        raise ValueError(f"{name} has no vocabulary")
    text, number = max(ids.items(), key=lambda item: item[1])
    if problems := _problems_of_id(text, number):
        raise ValueError(f"{name}: {problems[0]}")


def _problems(settings: Mapping[str, Any], file: str) -> list[str]:
    given = {name: value for name, value in settings.items() if value is not None}
    found = [
        f"{name} {_shown(given[name])}: {KINDS[kind]} is needed"
        for name, kind in TYPES.items()
        if name in given and not isinstance(given[name], kind)
    ]
    tokens = [(name, given[name]) for name in NAMED if given.get(name)]
    for name in ("additional_special_tokens", "extra_special_tokens", "like_pieces"):
        tokens += [(name, token) for token in (given[name] if isinstance(given.get(name), list) else ())]
    added = given.get("added_tokens_decoder")
    for number, token in (added if isinstance(added, dict) else {}).items():
        tokens.append((f"added_tokens_decoder {visible(number)[:20]}", token))
        is_number = number.isascii() and number.isdigit() and len(number) < 20
        found += _problems_of_id(token, int(number) if is_number else number)
    found += [problem for name, token in tokens for problem in _problems_of_token(name, token)]
    return [f"{file}: {problem}" for problem in found]


def _problems_of_token(name: str, token: object) -> list[str]:
    text = token.get("content") if isinstance(token, dict) else token
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_TOKEN:
        needed = f"a text of 1 to {LONGEST_TOKEN:,} characters is needed, or an object with one as its content"
        return [f"{name} {_shown(token)}: {needed}"]
    flags = [flag for flag in FLAGS if isinstance(token, dict) and not isinstance(token.get(flag, False), bool)]
    return [f"{name} {_shown(text)}: {flag} is true or false" for flag in flags]


def _problems_of_id(token: object, number: object) -> list[str]:
    if type(number) is int and 0 <= number < MOST_IDS:
        return []
    return [f"{_shown(token)} has the id {_shown(number)}: a whole number from 0 to {MOST_IDS - 1:,} is needed"]


def _names_without_ids(processor: Any) -> Iterator[str]:
    """The special tokens of templates in a post_processor that do not say which ids they have."""
    for inner in processor.get("processors", ()) if isinstance(processor, dict) else ():
        yield from _names_without_ids(inner)
    if isinstance(processor, dict) and processor.get("type") == "TemplateProcessing":
        for piece in [*processor["single"], *processor["pair"]]:
            name = piece.get("SpecialToken", {}).get("id")
            if name is not None and name not in processor["special_tokens"]:
                yield name


def _growth(normalizer: Any) -> int:
    """How many times as long a text can become."""
    if not isinstance(normalizer, dict):
        return 1
    inner = [_growth(each) for each in normalizer.get("normalizers", ())]
    return math.prod(inner) * max(1, len(normalizer.get("content", ""))) * (1 + len(normalizer.get("prepend", "")))


def _shown(value: object) -> str:
    text = visible(repr(value))
    return text if len(text) <= 60 else f"{text[:60]}…"
