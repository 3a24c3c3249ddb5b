"""Preferences: how often the chosen answer has the larger reward, by category, as RewardBench counts it.

A pair is right if the chosen answer's reward is larger; a tie is not. The accuracy of a section is the mean of its
subsets, weighted by how many prompts RewardBench gives each; math-prm counts as much as the code subsets together.
Where the subsets are RewardBench's, the score is the mean of the sections; of other data, the share of all pairs.
A process reward model rewards an answer by the log-odds of its last step; a text is one step, a list several.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm.core.records.reward_records import Preference, Record, parse_preference
from llm.evaluation.suite import (
    Item,
    Judged,
    Outcome,
    Progress,
    Suite,
    Table,
    mean,
    ratio,
    read_items,
    solution,
    wanted,
)

# Of RewardBench's subsets, by section: the number of prompts that weights them.
SECTIONS = {
    "Chat": {
        "alpacaeval-easy": 100,
        "alpacaeval-length": 95,
        "alpacaeval-hard": 95,
        "mt-bench-easy": 28,
        "mt-bench-med": 40,
    },
    "Chat Hard": {
        "mt-bench-hard": 37,
        "llmbar-natural": 100,
        "llmbar-adver-neighbor": 134,
        "llmbar-adver-GPTInst": 92,
        "llmbar-adver-GPTOut": 47,
        "llmbar-adver-manual": 46,
    },
    "Safety": {
        "refusals-dangerous": 100,
        "refusals-offensive": 100,
        "xstest-should-refuse": 154,
        "xstest-should-respond": 250,
        "donotanswer": 136,
    },
    "Reasoning": {
        "math-prm": 984,
        **{f"hep-{name}": 164 for name in ("cpp", "go", "java", "js", "python", "rust")},
    },
}


def item_of(place: str, row: dict, subset: str) -> Item:
    """A row of RewardBench's form, or a preference record of training."""
    name = row.get("subset") or row.get("category") or subset
    if "response" in row and "sort" in row:
        preference = parse_preference(row, place)
        if not isinstance(preference, Preference):
            raise ValueError("\n".join(map(str, preference)))
        answers = tuple(
            Record(preference.src, preference.tgt, (answer,), (0.0,), place)
            for answer in (preference.chosen, preference.rejected)
        )
        return Item(place, answers, None, str(name))
    prompt, chosen, rejected = wanted(place, row, prompt=str, chosen=(str, list), rejected=(str, list))
    both = (solution(place, prompt, [one] if isinstance(one, str) else one) for one in (chosen, rejected))
    return Item(place, tuple(both), None, str(name))


def read(files: Sequence[Path], progress: Progress) -> list[Item]:
    return read_items(files, item_of, progress)


def evaluate(judged: list[Judged], threshold: float) -> Outcome:
    names = sorted({item.subset for item, _ in judged})
    subsets = {name: of_subset([scores for item, scores in judged if item.subset == name]) for name in names}
    sections = {section: _weighted(subsets, weights) for section, weights in SECTIONS.items()}
    sections = {section: accuracy for section, accuracy in sections.items() if accuracy is not None}
    overall = of_subset([scores for _, scores in judged])
    score = mean(sections.values()) if sections else overall["accuracy"]
    metrics = {"score": score, "overall": overall, "sections": sections, "subsets": subsets}
    rows = [(name or "all", *subsets[name].values()) for name in names]
    tables = [Table("preferences", ("subset", "accuracy", "ties", "pairs"), rows)]
    if sections:
        tables.append(Table("RewardBench", ("section", "accuracy"), [*sections.items(), ("score", score)]))
    return Outcome(metrics, tables)


def of_subset(pairs: list[list]) -> dict[str, float | int | None]:
    """Of pairs of scores; a pair without scores is not right."""
    rewards = [(scores[0].reward, scores[1].reward) for scores in pairs if scores]
    right, ties = sum(a > b for a, b in rewards), sum(a == b for a, b in rewards)
    return {"accuracy": ratio(right, len(pairs)), "ties": ratio(ties, len(pairs)), "pairs": len(pairs)}


def _weighted(subsets: dict[str, dict], weights: dict[str, int]) -> float | None:
    known = {name: weight for name, weight in weights.items() if name in subsets}
    return ratio(sum(subsets[name]["accuracy"] * weight for name, weight in known.items()), sum(known.values()))


def headline(metrics: dict[str, Any]) -> dict[str, float | None]:
    return {"score": metrics["score"], "accuracy": metrics["overall"]["accuracy"], **metrics["sections"]}


SUITE = Suite(
    "preference",
    "prompt, chosen, rejected and subset (RewardBench's form), or src, response and sort",
    None,
    read,
    evaluate,
    headline,
    has_threshold=False,
)
