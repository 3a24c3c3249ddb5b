"""Curves of the training that made a model, from what it left in its folder. No paddle here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm.core.strict_json import read_object

STATE = "trainer_state.json"
CHARTS = {  # title -> what is drawn in it: name of the log -> name in the chart
    "loss by update": {"loss": "training", "eval_loss": "held-out"},
    "metrics by update": {
        "eval_accuracy": "accuracy",
        "eval_auc": "AUC",
        "eval_error_f1": "error F1",
        "eval_first_error_accuracy": "first error",
    },
}
Lines = dict[str, tuple[list[int], list[float]]]


def curves_of(model: str) -> dict[str, Lines]:
    """{title: {name: (updates, values)}}, of what the log holds; nothing where there is no log."""
    path = Path(model).expanduser() / STATE
    if not path.is_file():
        return {}
    history = read_object(path, with_nan=True).get("log_history", [])
    if not isinstance(history, list) or not all(map(_is_line, history)):
        raise ValueError(f"{path}: log_history is not the log of a training. Delete the file to do without its curves.")
    charts = {title: _lines(history, names) for title, names in CHARTS.items()}
    return {title: lines for title, lines in charts.items() if lines}


def _is_line(line: Any) -> bool:
    return isinstance(line, dict) and type(line.get("step")) is int


def _lines(history: Sequence[dict], names: dict[str, str]) -> Lines:
    lines: Lines = {}
    for name, shown in names.items():
        points = [(line["step"], line[name]) for line in history if isinstance(line.get(name), int | float)]
        if points:
            updates, values = zip(*points, strict=True)
            lines[shown] = (list(updates), list(values))
    return lines
