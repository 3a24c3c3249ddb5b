"""report.html: one file without network, with the tables, charts and the worst solutions of each model."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from llm.evaluation.report import charts, solutions
from llm.evaluation.report.charts import chart
from llm.evaluation.report.tables import html_of
from llm.evaluation.report.training_log import curves_of
from llm.evaluation.suite import Judged, Suite, Table
from llm.scoring.scores import Scores

STYLE = """
:root { color-scheme: light dark; --line: #8885; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; } h3 { font-size: 1rem; margin-bottom: .3rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: .25rem .55rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.note { opacity: .75; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1rem;
  margin-top: 1.2rem; }
figure { margin: 0; } figure svg { width: 100%; height: auto; }
.solution { border-bottom: 1px solid var(--line); padding: .4rem 0; } summary { cursor: pointer; }
.question { white-space: pre-wrap; overflow-wrap: anywhere; }
.solution li { margin: .25rem 0; padding: .2rem .5rem; border-radius: .3rem; overflow-wrap: anywhere;
  white-space: pre-wrap;
  background: rgb(calc(225 - 180 * var(--p)) calc(70 + 100 * var(--p)) 80 / .28);
  border-left: .35rem solid rgb(calc(225 - 180 * var(--p)) calc(70 + 100 * var(--p)) 80); }
.p { font-variant-numeric: tabular-nums; font-weight: 600; } .label { display: inline-block; min-width: .8em; }
.interval { font-variant-numeric: tabular-nums; opacity: .75; }
"""


def page_of(title: str, notes: Sequence[str], sections: Sequence[str]) -> str:
    name = html.escape(title)
    body = [f"<h1>{name}</h1>", *(f'<p class="note">{html.escape(note)}</p>' for note in notes), *sections]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def section_of(title: str, tables: Sequence[Table], more: Sequence[str] = ()) -> str:
    return "\n".join([f"<h2>{html.escape(title)}</h2>", *map(html_of, tables), *more])


def pictures_of(
    suite: Suite, judged: list[Judged], metrics: dict[str, Any], threshold: float, model: str | None
) -> list[str]:
    """Charts and solutions, as far as the suite and the model have what they show."""
    found = [chart(title, charts.curves, lines) for title, lines in curves_of(model).items()] if model else []
    if "by_n" in metrics:
        found.append(chart("accuracy by number of candidates", charts.best_of_n, metrics["by_n"]))
    if suite.labels is None:
        return _grid(found)
    steps = [
        (p, y)
        for item, scores in judged
        if scores
        for p, y in zip(scores[0].steps, suite.labels(item), strict=True)
        if y is not None
    ]
    if not steps:
        return _grid(found)
    p, y = np.array(steps).T
    found += [
        chart("scores by label", charts.histogram, p, y),
        chart(f"judgements at {threshold:g}", charts.confusion, p, y, threshold),
        chart("ROC of finding wrong steps", charts.roc, p, y),
        chart("precision and recall of finding wrong steps", charts.precision_recall, p, y),
        chart("reliability", charts.reliability, p, y),
    ]
    ends = [pair for item, scores in judged if scores for pair in _ends_of_labelled(scores[0], suite.labels(item))]
    if len(ends) == len(p):
        found.append(chart("intervals by score", charts.intervals, p, y, *np.array(ends).T))
    if positions := metrics.get("by_position"):
        of_each = [(one["accuracy"], one["steps"]) for one in positions.values()]
        found.append(
            chart("accuracy by position", charts.by_position, list(positions), *map(list, zip(*of_each, strict=True)))
        )
    furthest = solutions.worst(judged, suite.labels)
    worst = [solutions.html_of(one, suite.labels, is_open=not n) for n, (one, _) in enumerate(furthest)]
    return [*_grid(found), "<h3>solutions with the step that is furthest from its label</h3>", *worst]


def _ends_of_labelled(scores: Scores, labels: Sequence[float | None]) -> list[tuple[float, float]]:
    """Of a quantile head's intervals; none where there is no interval."""
    if scores.low is None or scores.high is None:
        return []
    ends = zip(scores.low.steps, scores.high.steps, labels, strict=True)
    return [(low, high) for low, high, label in ends if label is not None]


def _grid(found: list[str]) -> list[str]:
    return [f'<div class="charts">{"".join(found)}</div>'] if found else []
