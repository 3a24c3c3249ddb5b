"""Charts as SVG for a page: text takes the page's colour, so they are read on a light and on a dark background."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llm.alignment.rm.flashmask.reward_metrics import ECE_BINS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#010203"  # replaced by the page's colour
RIGHT, WRONG, OTHER = "#2f9e6e", "#d9584a", "#4c7fd0"
SIZE = 4.2, 3.1  # inches
MOST_INSIDE = 3  # entries of a legend that leave room for the lines


def chart(title: str, draw: Any, *values: Any) -> str:
    """A figure with what `draw(axes, *values)` draws."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 9, "axes.spines.top": False}
    colours = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    with rc_context({**style, "axes.spines.right": False, **colours}):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        draw(axes, *values)
        axes.set_title(title, fontsize=10)
        if (count := len(axes.get_legend_handles_labels()[0])) > MOST_INSIDE:
            figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
        elif count:
            axes.legend(frameon=False, fontsize=8)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    return f'<figure role="img" aria-label="{title}">{_with_own_ids(svg, title)}</figure>'


def _with_own_ids(svg: str, title: str) -> str:
    """Several figures of a page must not share the ids that they refer to."""
    prefix = re.sub(r"\W+", "-", title)
    return re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)


def histogram(axes: Axes, p: np.ndarray, y: np.ndarray) -> None:
    """Of scores, by label."""
    bins = np.linspace(0, 1, 21).tolist()
    for name, mask, colour in (("labelled +", y > 0.5, RIGHT), ("labelled -", y <= 0.5, WRONG)):
        axes.hist(p[mask], bins=bins, alpha=0.65, color=colour, label=f"{name} ({int(mask.sum()):,})")
    axes.set(xlabel="score", ylabel="steps")


def roc(axes: Axes, p: np.ndarray, y: np.ndarray) -> None:
    found, missed = rates(p, y <= 0.5)
    axes.plot(missed, found, color=OTHER)
    axes.plot([0, 1], [0, 1], color=INK, alpha=0.3, linewidth=0.8)
    axes.set(xlabel="right steps called wrong", ylabel="wrong steps found", xlim=(0, 1), ylim=(0, 1.02))


def precision_recall(axes: Axes, p: np.ndarray, y: np.ndarray) -> None:
    axes.plot(*recall_and_precision(p, y <= 0.5), color=OTHER)
    share = float((y <= 0.5).mean())
    axes.axhline(share, color=INK, alpha=0.3, linewidth=0.8)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))


def recall_and_precision(p: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of wrong steps, where all that score at most a threshold are called wrong; a point for each score that occurs."""
    order = np.argsort(p)
    hits, called = np.cumsum(wrong[order]), np.arange(1, len(p) + 1)
    is_last = np.append(np.diff(p[order]) > 0, True)
    return (hits / max(hits[-1], 1))[is_last], (hits / called)[is_last]


def rates(p: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(share of wrong steps, share of right steps) that score at most each threshold, from none to all."""
    thresholds = np.concatenate([[-1.0], np.unique(p)])
    below = [np.searchsorted(np.sort(p[mask]), thresholds, side="right") for mask in (wrong, ~wrong)]
    return below[0] / max(int(wrong.sum()), 1), below[1] / max(int((~wrong).sum()), 1)


def reliability(axes: Axes, p: np.ndarray, y: np.ndarray) -> None:
    """The mean label (of hard labels, the share of +) among steps with about this score; a dot's size says how many
    there are."""
    counts, scores, labels = by_score(p, p, y)
    axes.plot([0, 1], [0, 1], color=INK, alpha=0.3, linewidth=0.8)
    axes.plot(scores, labels, color=OTHER, linewidth=1)
    axes.scatter(scores, labels, s=8 + 120 * np.sqrt(counts / counts.max()), color=OTHER, alpha=0.7, clip_on=False)
    axes.set(xlabel="mean score", ylabel="mean label", xlim=(0, 1), ylim=(0, 1.02))


def intervals(axes: Axes, p: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Among steps with about this median: the mean interval, and the mean label."""
    counts, medians, labels, lower, upper = by_score(p, p, y, low, high)
    axes.fill_between(medians, lower, upper, color=OTHER, alpha=0.25, linewidth=0, label="mean interval")
    axes.plot(medians, medians, color=OTHER, linewidth=1, label="median")
    axes.scatter(
        medians,
        labels,
        s=8 + 120 * np.sqrt(counts / counts.max()),
        color=RIGHT,
        alpha=0.7,
        clip_on=False,
        label="mean label",
    )
    axes.set(xlabel="median", ylabel="label", xlim=(0, 1), ylim=(-0.02, 1.02))


def by_score(p: np.ndarray, *values: np.ndarray) -> list[np.ndarray]:
    """How many steps have about this score, bin by bin, and the mean of each of the values among them."""
    bins = np.minimum((p * ECE_BINS).astype(int), ECE_BINS - 1)
    counts = np.bincount(bins, minlength=ECE_BINS)
    filled = counts > 0
    return [
        counts[filled],
        *(np.bincount(bins, weights=one, minlength=ECE_BINS)[filled] / counts[filled] for one in values),
    ]


def by_position(axes: Axes, places: Sequence[str], accuracy: Sequence[float | None], steps: Sequence[int]) -> None:
    shown = [value or 0.0 for value in accuracy]
    axes.bar(range(len(places)), shown, color=OTHER, alpha=0.8)
    axes.set_xticks(range(len(places)), [place.replace(" or later", "+") for place in places])
    axes.set(xlabel="position of the step", ylabel="accuracy", ylim=(0, 1.02))


def confusion(axes: Axes, p: np.ndarray, y: np.ndarray, threshold: float) -> None:
    judged, labelled = p > threshold, y > 0.5
    table = np.array([[((judged == j) & (labelled == k)).sum() for j in (True, False)] for k in (True, False)])
    for (row, column), count in np.ndenumerate(table):
        colour = RIGHT if row == column else WRONG
        share = count / max(table[row].sum(), 1)
        axes.fill_between(
            [column - 0.5, column + 0.5], row - 0.5, row + 0.5, color=colour, alpha=0.6 * share, linewidth=0
        )
        axes.text(column, row, f"{count:,}\n{share:.1%}", ha="center", va="center", fontsize=11)
    axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5))
    axes.set_xticks([0, 1], ["judged +", "judged -"])
    axes.set_yticks([0, 1], ["labelled +", "labelled -"])


def best_of_n(axes: Axes, by_n: dict[int, dict[str, dict[str, float]]]) -> None:
    sizes = list(by_n)
    for way in ("oracle", "best by min", "best by last", "vote by min", "majority vote", "random (pass@1)"):
        if way in by_n[sizes[0]]:
            found = [by_n[size][way] for size in sizes]
            (line,) = axes.plot(sizes, [one["accuracy"] for one in found], marker="o", markersize=3, label=way)
            low, high = ([one[end] for one in found] for end in ("low", "high"))
            axes.fill_between(sizes, low, high, color=line.get_color(), alpha=0.1, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, list(map(str, sizes)))
    axes.set(xlabel="N", ylabel="questions answered rightly")


def curves(axes: Axes, lines: dict[str, tuple[list[int], list[float]]]) -> None:
    for name, (updates, values) in lines.items():
        axes.plot(updates, values, label=name, marker="o" if len(updates) < 12 else "", markersize=3, linewidth=1.2)
    axes.set(xlabel="update")
