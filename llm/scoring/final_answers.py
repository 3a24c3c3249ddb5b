"""The final answer of a solution, and which ones are the same. No paddle here.

math-verify compares expressions, sets, intervals and roots. It is an extra of this package; without it answers are
compared as numbers where both are ones, and else as text.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from fractions import Fraction
from functools import cache, lru_cache
from importlib import import_module, metadata, util

PHRASE = re.compile(r"(?:answer\s*(?:is|:)|####)\s*:?\s*", re.IGNORECASE)
BOXED = "\\boxed{"
SECONDS = 5  # until math-verify gives up a comparison
REMEMBERED = 4096  # answers of which the text and the expression are known
FRACTION = re.compile(r"\\[dt]?frac\{(-?[\d.]+)\}\{([\d.]+)\}")


def answer_of(solution: str) -> str | None:
    """What is in the last \\boxed{}, or behind the last "answer is" or "####"; None where there is neither."""
    if BOXED in solution:
        return _inside(solution[solution.rindex(BOXED) + len(BOXED) :])
    if not (found := list(PHRASE.finditer(solution))):
        return None
    lines = solution[found[-1].end() :].splitlines()
    return lines[0].strip() if lines else None


def _inside(text: str) -> str | None:
    depth = 1
    for number, letter in enumerate(text):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if not depth:
            return text[:number].strip()
    return None


def same_answer(given: str | None, right: str | None) -> bool:
    """Equal as numbers where both are ones (0.5, 1/2, \\frac{1}{2}, 50%), as text without LaTeX's blanks and signs
    around it, or as math-verify compares them. An answer that is missing is no answer."""
    if given is None or right is None:
        return False
    one, other = normalised(given), normalised(right)
    if one == other or not is_installed() or not one or not other:
        return one == other
    if _is_number(one) and _is_number(other) or one.isalpha() and other.isalpha():
        return False  # words would be products of their letters
    return _verified(given, right)


def groups_of(answers: Sequence[str | None]) -> list[int]:
    """Numbers that are equal where answers are the same, -1 for none. Each text is compared once, with the first answer
    of each group."""
    firsts: list[str] = []
    group_of: dict[str, int] = {}
    for answer in dict.fromkeys(one for one in answers if one is not None):
        same = (number for number, first in enumerate(firsts) if same_answer(answer, first))
        group_of[answer] = next(same, len(firsts))
        if group_of[answer] == len(firsts):
            firsts.append(answer)
    return [-1 if one is None else group_of[one] for one in answers]


@cache
def is_installed() -> bool:
    return util.find_spec("math_verify") is not None


def compared_by() -> str:
    """For people and for what results were made of."""
    return f"math-verify {metadata.version('math-verify')}" if is_installed() else "numbers and texts"


def note() -> str:
    how = "" if is_installed() else "; for expressions install the extra math: pip install math-verify"
    return f"answers are compared by {compared_by()}{how}"


def _verified(given: str, right: str) -> bool:
    library = import_module("math_verify")
    # its limits of time are signals, which only the main thread may set
    seconds = SECONDS if threading.current_thread() is threading.main_thread() else None
    one, other = (_parsed(text, seconds) for text in (given, right))
    return bool(library.verify(other, one, timeout_seconds=seconds))


@lru_cache(REMEMBERED)
def _parsed(answer: str, seconds: int | None) -> list:
    return import_module("math_verify").parse(f"{BOXED}{answer.strip()}}}", parsing_timeout=seconds)


def _is_number(text: str) -> bool:
    """Of what `normalised` gives."""
    return re.fullmatch(r"-?\d+(/\d+)?", text) is not None


@lru_cache(REMEMBERED)
def normalised(answer: str) -> str:
    text = FRACTION.sub(r"\1/\2", answer.strip().strip("$").strip())
    text = re.sub(r"\\(?:left|right|,|;|!|quad)|\\text\{([^}]*)\}|\\[()\[\]]|\s+", r"\1", text).rstrip(".").strip("$")
    number = text.replace(",", "").replace("\\%", "%")
    scale = Fraction(1, 100) if number.endswith("%") else Fraction(1)
    try:
        return str(Fraction(number.rstrip("%")) * scale)
    except (ValueError, ZeroDivisionError):
        return text.casefold()
