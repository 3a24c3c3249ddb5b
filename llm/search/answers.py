"""The final answer of a solution, and whether two are the same. No paddle here."""

from __future__ import annotations

import re
from fractions import Fraction

PHRASE = re.compile(r"(?:answer\s*(?:is|:)|####)\s*:?\s*", re.IGNORECASE)
BOXED = "\\boxed{"
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


def same_answer(one: str | None, other: str | None) -> bool:
    """Equal as numbers where both are ones (0.5, 1/2, \\frac{1}{2}, 50%), else as text without LaTeX's blanks and
    signs around it. An answer that is missing is no answer."""
    if one is None or other is None:
        return False
    a, b = normalised(one), normalised(other)
    return a == b


def normalised(answer: str) -> str:
    text = FRACTION.sub(r"\1/\2", answer.strip().strip("$").strip())
    text = re.sub(r"\\(?:left|right|,|;|!|quad)|\\text\{([^}]*)\}|\\[()\[\]]|\s+", r"\1", text).rstrip(".").strip("$")
    number = text.replace(",", "").replace("\\%", "%")
    scale = Fraction(1, 100) if number.endswith("%") else Fraction(1)
    try:
        return str(Fraction(number.rstrip("%")) * scale)
    except (ValueError, ZeroDivisionError):
        return text.casefold()
