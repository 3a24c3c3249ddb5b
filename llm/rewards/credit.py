"""From the scores of steps to rewards in reinforcement learning: which step gets how much, which token, and advantages.
No paddle here, and nothing but the standard library, so that a trainer's environment can import it."""

from __future__ import annotations

import math
from collections.abc import Sequence

Values = Sequence[float]


def sum_form(scores: Values) -> list[float]:
    """Each step is rewarded by its own score; what a solution is worth is their sum."""
    return list(scores)


def min_form(scores: Values, temperature: float = 0.1) -> list[float]:
    """PURE's form: a solution is worth its lowest score. Each step's score r is weighted with exp(-r / T) over the sum
    of these, so that the sum of rewards is nearly the lowest score, and the more so the smaller the temperature is."""
    if not scores:
        return []
    lowest = min(scores)
    weights = [math.exp((lowest - score) / temperature) for score in scores]
    return [score * weight / sum(weights) for score, weight in zip(scores, weights, strict=True)]


FORMS = {"sum": sum_form, "min": min_form}


def split(text: str, separator: str = "\n\n") -> list[tuple[str, int]]:
    """(step, where it ends in the text) of a response; blank parts are no steps."""
    steps, start = [], 0
    for part in text.split(separator):
        if part.strip():
            steps.append((part.strip(), start + len(part.rstrip())))
        start += len(part) + len(separator)
    return steps


def on_tokens(rewards: Values, ends: Sequence[int], tokens: Sequence[str]) -> list[float]:
    """A reward for each token, 0 but for the one in which a step ends. `ends` are places in the text that the tokens
    make together."""
    found, place, step = [0.0] * len(tokens), 0, 0
    for number, token in enumerate(tokens):
        place += len(token)
        while step < len(ends) and ends[step] <= place:
            found[number] += rewards[step]
            step += 1
    if step < len(ends):
        raise ValueError(f"step {step} ends at character {ends[step]}, and the tokens have {place} together")
    return found


def group_advantages(totals: Values) -> list[float]:
    """GRPO, one reward for each response to a prompt: (reward - mean) / standard deviation of the group."""
    mean, deviation = _mean_and_deviation(totals)
    return [(total - mean) / deviation for total in totals]


def process_advantages(group: Sequence[Values]) -> list[list[float]]:
    """GRPO with a reward for each token: rewards are normalised over all steps of the group, and a token's advantage is
    the sum of those from it on. A token without a reward, 0, is no step."""
    mean, deviation = _mean_and_deviation([reward for rewards in group for reward in rewards if reward])
    found = []
    for rewards in group:
        normalised = [(reward - mean) / deviation if reward else 0.0 for reward in rewards]
        total, advantages = 0.0, []
        for one in reversed(normalised):
            total += one
            advantages.append(total)
        found.append(advantages[::-1])
    return found


def _mean_and_deviation(values: Values) -> tuple[float, float]:
    """A group of equal rewards has no advantage, so its deviation is taken to be 1."""
    if not values:
        return 0.0, 1.0
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)) or 1.0
