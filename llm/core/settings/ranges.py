"""Which numbers a setting may be. Declared with the setting, checked where its value is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Number = int | float


@dataclass(frozen=True)
class Range:
    """From `lowest` to `highest`, both included, unless `above` and `below` say that they are not."""

    lowest: Number
    highest: Number
    above: bool = False
    below: bool = False
    also: int | None = None  # a number outside it that is allowed, too
    why: str = ""  # for the message

    def __contains__(self, value: Number) -> bool:
        is_high_enough = value > self.lowest if self.above else value >= self.lowest
        is_low_enough = value < self.highest if self.below else value <= self.highest
        return value == self.also or (is_high_enough and is_low_enough)

    def __str__(self) -> str:
        lowest, highest = shown(self.lowest), shown(self.highest)
        start = f"above {lowest}, up to" if self.above else f"from {lowest} to"
        text = f"{start} below {highest}" if self.below else f"{start} {highest}"
        text = lowest if self.lowest == self.highest else text
        return text if self.also is None else f"{self.also} or {text}"

    def check(self, value: Number) -> None:
        if value not in self:
            raise ValueError(f"must be {self}{f': {self.why}' if self.why else ''}")

    def as_json_schema(self) -> dict[str, Any]:
        start = "exclusiveMinimum" if self.above else "minimum"
        return {start: self.lowest, "exclusiveMaximum" if self.below else "maximum": self.highest}


def shown(number: Number) -> str:
    """2147483647 as people know it."""
    exponent = number.bit_length() if isinstance(number, int) else 0
    return f"2^{exponent} - 1" if exponent > 30 and number == 2**exponent - 1 else f"{number:.15g}"
