"""results.html and results.svg: the comparisons of `python -m llm benchmark all` for people."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.core.files import write_text
from llm.evaluation.report.charts import OTHER, RIGHT, chart
from llm.evaluation.report.page import page_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAR = 0.38  # of the distance between two workloads
PRECISIONS = {"float32": OTHER, "bfloat16": RIGHT}
TITLE = "times as fast as the fastest other way"


def write_page(folder: Path, machine: str, text: str, rows: list[dict[str, Any]]) -> None:
    picture = chart(TITLE, bars, rows)
    write_text(folder / "results.svg", _alone(picture))
    body = [f'<div style="max-width: 44rem">{picture}</div>', f'<div class="wide"><pre>{escape(text)}</pre></div>']
    write_text(folder / "results.html", page_of("Benchmarks", [machine], body))


def bars(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Ratios on a logarithmic axis: where they are 1 both are as fast, and the grey line is where this project
    would be if it did nothing but its matrix products."""
    places = range(len(rows))
    for shift, (precision, colour) in zip((-BAR / 2, BAR / 2), PRECISIONS.items(), strict=True):
        measured = [(place + shift, row[f"{precision}_ratio"], row) for place, row in zip(places, rows, strict=True)]
        found = [one for one in measured if one[1] is not None]
        if not found:
            continue
        axes.barh(
            [at for at, *_ in found], [ratio for _, ratio, _ in found], BAR, color=colour, label=f"in {precision}"
        )
        for at, ratio, row in found:
            axes.text(ratio * 1.05, at, f"{ratio:.1f}", va="center", fontsize=7)
            if row["floor_share"]:
                limit = ratio / row["floor_share"]
                axes.plot([limit, limit], [at - BAR / 2, at + BAR / 2], color="#888888", linewidth=2)
    axes.axvline(1, color="#888888", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * 3)  # room for the legend
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(list(places), [row["workload"] for row in rows])
    axes.invert_yaxis()
    axes.set(xlabel="grey: if it did nothing but its matrix products")


def _alone(figure: str) -> str:
    """The picture as a file of its own, which has no page whose colour its text could take."""
    svg = figure[figure.index("<svg") : figure.rindex("</svg>") + len("</svg>")]
    return svg.replace("currentColor", "#666666") + "\n"
