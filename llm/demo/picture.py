"""The demo's outcome as a picture: how it learned, and its score of every step of three solutions."""

from __future__ import annotations

import logging
import textwrap
from pathlib import Path

from llm.core.files import read_json

RIGHT, WRONG, TRACK = "#2a7f62", "#c1440e", "#e8e8e8"
WIDTH, QUESTION_HEIGHT, STEP_HEIGHT, CURVES_HEIGHT = (
    8.4,
    0.5,
    0.27,
    2.2,
)  # inches, as wide as GitHub shows a page
CHARACTERS = 112  # of a line of text
BAR, TEXT_AT = 0.16, 0.24  # of the width: where bars end, where the steps' texts begin
STYLE = {
    "svg.hashsalt": "demo",  # equal pictures are equal files
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 9.5,
}


def draw(output_dir: Path, question: str, judged: dict[str, list[tuple[str, str, float]]], file: Path) -> None:
    """`judged` has for each solution its steps as (text, label, score). An SVG, so that it can be kept as text."""
    pyplot = _pyplot()
    heights = [QUESTION_HEIGHT, *(STEP_HEIGHT * (len(steps) + 1.4) for steps in judged.values()), CURVES_HEIGHT]
    with pyplot.rc_context(STYLE):
        figure = pyplot.figure(figsize=(WIDTH, sum(heights) + 1.1))
        grid = figure.add_gridspec(
            len(heights), 1, height_ratios=heights, hspace=0.2, left=0.05, right=0.99, top=0.99, bottom=0.06
        )
        _question(figure.add_subplot(grid[0]), question)
        for row, (title, steps) in enumerate(judged.items(), 1):
            _steps(figure.add_subplot(grid[row]), title, steps)
        _curves(figure.add_subplot(grid[-1]), read_json(output_dir / "trainer_state.json")["log_history"])
        figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def _question(axes, question: str) -> None:
    axes.axis("off")
    axes.text(0, 1, textwrap.fill(question, CHARACTERS), va="top", linespacing=1.5)


def _pyplot():
    """Without a display, and without the line that matplotlib logs when it lists the machine's fonts."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _curves(axes, history: list[dict]) -> None:
    training = [log for log in history if "loss" in log]
    held_out = [log for log in history if "eval_accuracy" in log]
    axes.plot(
        [log["step"] for log in training],
        [log["accuracy"] for log in training],
        color="#999999",
        label="training: accuracy",
    )
    for name, color in (("accuracy", RIGHT), ("error_f1", WRONG), ("auc", "#30638e")):
        values = [(log["step"], log[f"eval_{name}"]) for log in held_out if f"eval_{name}" in log]
        axes.plot(*zip(*values, strict=True), marker="o", color=color, label=f"held out: {name}")
    axes.set(xlabel="update", ylim=(0.4, 1.02))
    axes.legend(loc="lower right", frameon=False, fontsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)


def _steps(axes, title: str, steps: list[tuple[str, str, float]]) -> None:
    """A bar on a track for each score, so that a score of 0 is seen, too; the colour is the label's."""
    axes.set(xlim=(0, 1), ylim=(len(steps) - 0.4, -1.3))
    axes.axis("off")
    axes.text(0, -0.85, title, fontweight="bold", va="center")
    for place, (text, label, score) in enumerate(steps):
        color = RIGHT if label == "+" else WRONG
        axes.barh(place, BAR, color=TRACK, height=0.62)
        axes.barh(place, max(BAR * score, 0.004), color=color, height=0.62)
        axes.text(BAR + 0.01, place, f"{score:.2f}", va="center", color=color, fontweight="bold")
        axes.text(TEXT_AT, place, text, va="center", color="#222222" if label == "+" else color)
