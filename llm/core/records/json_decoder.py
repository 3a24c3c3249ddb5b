"""A JSON decoder for records: what it decodes all the same, and a record must not have, is noted."""

from __future__ import annotations

import json

from llm.core.records.problem import excerpt
from llm.core.strict_json import MOST_DIGITS, key_given_twice


def decoder_and_flaws() -> tuple[json.JSONDecoder, list[tuple[str, str, str, str]]]:
    """A decoder, and the list in which it leaves what it meets and a record must not have: NaN and Infinity, which are
    not JSON, whole numbers that are too long, and a key that is given twice. Of each what is shown, the reason, the
    detail and the remedy."""
    flaws: list[tuple[str, str, str, str]] = []

    def constant(name: str) -> None:
        flaws.append((name, "NaN or Infinity", "JSON has no such value", "write a number or null"))

    def unique(pairs: list[tuple[str, object]]) -> dict:
        value = dict(pairs)
        if len(value) < len(pairs):
            flaws.append(
                (
                    excerpt(key_given_twice(pairs)),
                    "key given twice",
                    "one of its values would be lost",
                    "keep one of them",
                )
            )
        return value

    def whole(digits: str) -> int:
        if len(digits) <= MOST_DIGITS:
            return int(digits)
        flaws.append((f"{digits[:20]}…", "number too long", f"{len(digits):,} digits", "write it in fewer digits"))
        return 0

    return json.JSONDecoder(parse_constant=constant, parse_int=whole, object_pairs_hook=unique), flaws
