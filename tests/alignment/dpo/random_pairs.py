"""Random groups of ranked answers."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from llm.core.text.answers import NO_TARGET, Answer
from llm.core.text.encoding import Pair


def random_pairs(seed: int) -> list[Pair]:
    """Groups of two to four answers to a prompt, which begin alike or continue one another; each better one with each
    worse one."""
    random, pairs = np.random.default_rng(seed), []
    for _ in range(random.integers(1, 4)):
        prompt = random.integers(10, 300, random.integers(1, 12))
        texts = [random.integers(10, 300, random.integers(1, 10)) for _ in range(3)]
        group: dict[bytes, Answer] = {}
        for _ in range(random.integers(2, 5)):
            ids = np.concatenate([prompt, *(texts[n] for n in random.integers(0, 3, random.integers(1, 4)))])
            scored = np.arange(len(prompt) - 1, len(ids) - 1)
            group.setdefault(ids.tobytes(), Answer(ids.astype("int32"), scored, NO_TARGET, len(prompt), 0.0))
        weight = float(random.choice([1.0, 2.5]))
        pairs += [Pair(better, worse, 0.0, weight) for better, worse in combinations(group.values(), 2)]
    return pairs
