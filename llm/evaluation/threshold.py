"""The threshold at which verdicts are best on one set, for use on another one. No paddle here."""

from __future__ import annotations

import numpy as np

from llm.evaluation.suite import Judged, Suite
from llm.scoring.scores import THRESHOLD

CANDIDATES = 100


def fitted(suite: Suite, judged: list[Judged]) -> float:
    """Of the quantiles of all scores, the one with the best first figure of the suite; of several, the one in the
    middle. 0.5 where no threshold has a figure."""
    p = np.array([step for _, scores in judged for one in scores for step in one.steps])
    if not len(p):
        return THRESHOLD
    quantiles = np.unique(np.quantile(p, np.linspace(0, 1, CANDIDATES + 1)))
    candidates = [THRESHOLD, *((quantiles[1:] + quantiles[:-1]) / 2).tolist()]
    figures = [next(iter(suite.headline(suite.evaluate(judged, t).metrics).values())) for t in candidates]
    best = max((figure for figure in figures if figure is not None), default=None)
    if best is None:
        return THRESHOLD
    winners = sorted(t for t, figure in zip(candidates, figures, strict=True) if figure == best)
    return round(float(winners[len(winners) // 2]), 6)
