"""Solutions as people read them: every step coloured by its score. No paddle here."""

from __future__ import annotations

import html

import numpy as np

from llm.evaluation.suite import Judged, Labels

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
    rows = [
        f'<li style="--p:{p:.3f}"><span class="p">{p:.3f}</span> <span class="label">{_sign(label)}</span> '
        f"{html.escape(step)}</li>"
        for step, p, label in zip(solution.steps, scores[0].steps, labels_of(item), strict=True)
    ]
    question = html.escape("\n".join(solution.src))
    return (
        f'<details class="solution"{" open" * is_open}><summary>{html.escape(item.place)}</summary>'
        f'<p class="question">{question}</p><ol>{"".join(rows)}</ol></details>'
    )


def _sign(label: float | None) -> str:
    return "" if label is None else "+" if label > 0.5 else "-"
