"""How often each whole number occurs: percentiles and bars."""

from __future__ import annotations

from collections import Counter

PERCENTILES = (50, 90, 95, 99)
MOST_BARS = 20


class Histogram:
    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def add(self, value: int) -> None:
        self.counts[value] += 1

    def percentile(self, percent: float) -> int:
        """The smallest value that so many percent of all do not exceed."""
        needed, seen = self.counts.total() * percent / 100, 0
        for value in sorted(self.counts):
            seen += self.counts[value]
            if seen >= needed:
                return value
        return 0

    def facts(self) -> dict[str, float]:
        if not self.counts:
            return {}
        mean = sum(value * count for value, count in self.counts.items()) / self.counts.total()
        percentiles = {f"p{percent}": self.percentile(percent) for percent in PERCENTILES}
        return {"least": min(self.counts), **percentiles, "most": max(self.counts), "mean": round(mean, 2)}

    def line(self) -> str:
        facts = self.facts()
        return ", ".join(f"{name} {value:,}" for name, value in facts.items())

    def bars(self) -> list[tuple[str, int, str]]:
        """Of one value each, or of equally wide ranges of them."""
        if not self.counts:
            return []
        least, most = min(self.counts), max(self.counts)
        width = -(-(most - least + 1) // MOST_BARS)
        ranges: Counter[int] = Counter()
        for value, count in self.counts.items():
            ranges[(value - least) // width] += count
        total = self.counts.total()
        bars = []
        for number in range((most - least) // width + 1):
            first, count = least + number * width, ranges[number]
            label = f"{first:,}" if width == 1 else f"{first:,} to {first + width - 1:,}"
            bars.append((label, count, f"{count:,} ({count / total:.1%})"))
        return bars
