"""Solutions as people read them: every step coloured by its score. No paddle here."""

from __future__ import annotations

import html

import numpy as np

from llm.evaluation.suite import Judged, Labels
from llm.scoring.scores import Scores

WORST = 10
LEAST = 1e-6


def worst(judged: list[Judged], labels_of: Labels) -> list[tuple[Judged, float]]:
    """The solutions with the step that is furthest from its label, by cross entropy; and that cross entropy."""
    found = []
    for item, scores in judged:
        if scores:
            losses = [_loss(p, y) for p, y in zip(scores[0].steps, labels_of(item), strict=True) if y is not None]
            found.append(((item, scores), max(losses, default=0.0)))
    return sorted(found, key=lambda one: -one[1])[:WORST]


def _loss(p: float, y: float) -> float:
    p = min(max(p, LEAST), 1 - LEAST)
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)))


def html_of(judged: Judged, labels_of: Labels, is_open: bool) -> str:
    item, scores = judged
    (solution, *_) = item.solutions
    intervals = intervals_of(scores[0])
    rows = [
        f'<li style="--p:{p:.3f}"><span class="p">{p:.3f}</span>{interval} '
        f'<span class="label">{_shown(label)}</span> {html.escape(step)}</li>'
        for step, p, interval, label in zip(solution.steps, scores[0].steps, intervals, labels_of(item), strict=True)
    ]
    question = html.escape("\n".join(solution.src))
    return (
        f'<details class="solution"{" open" * is_open}><summary>{html.escape(item.place)}</summary>'
        f'<p class="question">{question}</p><ol>{"".join(rows)}</ol></details>'
    )


def intervals_of(scores: Scores) -> list[str]:
    """From the lower to the upper end, of a quantile head."""
    if scores.low is None or scores.high is None:
        return [""] * len(scores.steps)
    ends = zip(scores.low.steps, scores.high.steps, strict=True)
    return [f' <span class="interval">({low:.2f} to {high:.2f})</span>' for low, high in ends]


def _shown(label: float | None) -> str:
    """+ or -, or the number of a soft label."""
    return "" if label is None else {0.0: "-", 1.0: "+"}.get(label, f"label {label:.2g}")
