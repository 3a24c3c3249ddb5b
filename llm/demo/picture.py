"""The demo's outcome as a picture: how it learned, and what it says of three solutions."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from llm.core.files import read_json

RIGHT, WRONG = "#2a7f62", "#c1440e"


def draw(output_dir: Path, judged: dict[str, list[tuple[str, str, float]]], file: Path) -> None:
    """`judged` has for each solution its steps as (text, label, score). An SVG, so that it can be kept as text."""
    heights = [len(steps) for steps in judged.values()]
    pyplot.rcParams["svg.hashsalt"] = "demo"  # equal pictures are equal files
    figure = pyplot.figure(figsize=(12, 1.6 + 0.3 * sum(heights)))
    grid = figure.add_gridspec(len(judged), 2, width_ratios=(2, 3), height_ratios=heights, hspace=0.5, wspace=0.08)
    _curves(figure.add_subplot(grid[:, 0]), read_json(output_dir / "trainer_state.json")["log_history"])
    for row, (title, steps) in enumerate(judged.items()):
        _steps(figure.add_subplot(grid[row, 1]), title, steps)
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


def _curves(axes, history: list[dict]) -> None:
    training = [log for log in history if "loss" in log]
    held_out = [log for log in history if "eval_accuracy" in log]
    steps, accuracy = [log["step"] for log in training], [log["accuracy"] for log in training]
    axes.plot(steps, accuracy, color="#999999", label="training: accuracy")
    for name, color in (("accuracy", RIGHT), ("error_f1", WRONG), ("auc", "#30638e")):
        values = [(log["step"], log[f"eval_{name}"]) for log in held_out if f"eval_{name}" in log]
        axes.plot(*zip(*values, strict=True), marker="o", color=color, label=f"held out: {name}")
    axes.set(title="learning", xlabel="update", ylim=(0, 1.02))
    axes.legend(loc="lower right", frameon=False)


def _steps(axes, title: str, steps: list[tuple[str, str, float]]) -> None:
    places = range(len(steps))
    colors = [RIGHT if label == "+" else WRONG for _, label, _ in steps]
    axes.barh(places, [score for *_, score in steps], color=colors, height=0.6)
    axes.axvline(0.5, color="black", linewidth=0.6, linestyle=":")
    for place, color, (text, label, score) in zip(places, colors, steps, strict=True):
        axes.text(1.02, place, f"{score:.2f}  ({label})  {text}", va="center", fontsize=8, color=color)
    axes.set(title=f"{title}: score of each step, its label in brackets", xlim=(0, 1), yticks=[])
    axes.title.set_fontsize(9)
    axes.invert_yaxis()
