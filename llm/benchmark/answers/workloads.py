"""Made-up prompts with answers, as token ids: what training on answers is measured on. No paddle here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SPECIAL = 4  # ids below are kept for the tokenizer: unknown, start, end, padding
END = 2


class Group(NamedTuple):
    """A prompt and its answers, the best first; each ends with the end token."""

    prompt: list[int]
    answers: list[list[int]]


class Workload(NamedTuple):
    about: str
    task: str  # sft or dpo
    prompt: tuple[int, int]  # fewest and most tokens
    answer: tuple[int, int]
    answers: int  # to each prompt
    of_update: int  # prompts


WORKLOADS = {
    "sft": Workload("answers of 16 to 512 tokens, one to a prompt of 32 to 256", "sft", (32, 256), (16, 512), 1, 32),
    "sft-groups": Workload("8 answers of 64 to 128 tokens to a prompt of 256", "sft", (256, 256), (64, 128), 8, 4),
    "pairs": Workload("a pair of answers of 64 to 128 tokens to a prompt of 512", "dpo", (512, 512), (64, 128), 2, 16),
    "groups": Workload(
        "8 answers of 64 to 128 tokens to a prompt of 256, each ranked: 28 pairs", "dpo", (256, 256), (64, 128), 8, 2
    ),
}


def groups_of(workload: Workload, count: int, vocabulary: int) -> list[Group]:
    """Lengths are drawn evenly on a logarithmic scale, as those of real answers lie."""
    draw = np.random.default_rng(0)

    def text(fewest: int, most: int) -> list[int]:
        length = int(np.exp(draw.uniform(np.log(fewest), np.log(most + 1))))
        return draw.integers(SPECIAL, vocabulary, length).tolist()

    return [
        Group(text(*workload.prompt), [[*text(*workload.answer), END] for _ in range(workload.answers)])
        for _ in range(count)
    ]


def pairs_of(group: Group) -> list[tuple[list[int], list[int]]]:
    """(chosen, rejected): every answer with every worse one."""
    answers = group.answers
    return [(better, worse) for place, better in enumerate(answers) for worse in answers[place + 1 :]]
