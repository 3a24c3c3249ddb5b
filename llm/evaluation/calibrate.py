"""python -m llm calibrate MODEL DATA: scores that mean what they say.

    python -m llm calibrate checkpoints/tiny/prm data/tiny/dev.jsonl --output calibration
    python -m llm score checkpoints/tiny/prm INPUT OUTPUT --calibrated

Fits temperature (one number) or platt (two) to labelled records (src, responses, labels) that the model has not seen
in training. Half of the questions is for fitting, the other half for measuring: expected calibration error,
Brier score and cross entropy, before and after. The result is MODEL/calibration.json, which score, serve and evaluate
use when they are asked to (--calibrated); DIR/report.html shows reliability before and after.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from llm.alignment.rm.flashmask.reward_metrics import calibration_error
from llm.core.console import ArgumentParser, count_of, plain_errors
from llm.core.files import write_text
from llm.evaluation import steps
from llm.evaluation.report import charts
from llm.evaluation.report.charts import chart
from llm.evaluation.report.page import page_of, section_of
from llm.evaluation.report.tables import text_of
from llm.evaluation.scored import by_steps_model
from llm.evaluation.suite import Judged, Table
from llm.scoring import calibration
from llm.scoring.calibration import METHODS, Calibration
from llm.scoring.score import add_model_flags

LEAST_STEPS = 20  # of each label, to fit
ROUNDS, RIDGE = 50, 1e-9  # of Newton's method
LEAST_SLOPE = 1e-3


def main(argv: list[str]) -> None:
    options = _parser().parse_args(argv)
    with plain_errors(ValueError, OSError):
        if options.calibrated:
            raise ValueError("--calibrated: the fit is of the model's own scores. Leave it out.")
        scorer, judged = by_steps_model(steps.SUITE, options, "calibrate is")
        if scorer.convention.interval:
            raise ValueError(
                f"{options.MODEL} has a quantile head. Its scores are medians of labels, which are not to be fitted as "
                "probabilities. `python -m llm evaluate steps` says how many labels its intervals cover."
            )
        fit, held_out = halves(judged)
        slope, shift = fitted(*fit, options.method)
        found = Calibration(options.method, slope, shift, scorer.weights, scorer.convention.label)
        measured = {"before": quality(*held_out), "after": quality(found.apply(held_out[0]), held_out[1])}
        path = calibration.save(found, Path(options.MODEL), {"fitted on": len(fit[0]), **measured})
        print(report(found, measured, held_out, options.output))
        print(f"\n{count_of(len(fit[0]), 'step')} for fitting, {len(held_out[0]):,} for measuring")
        print(f"{path}: {found.describe()}\nreport: {options.output}/report.html")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_flags(parser)
    parser.add_argument("DATA", help="labelled records: a file, a folder or a pattern")
    parser.add_argument("--output", type=Path, required=True, help="folder for scores and report")
    parser.add_argument("--method", choices=METHODS, default="temperature", help="default temperature")
    return parser


Steps = tuple[np.ndarray, np.ndarray]  # log-odds and labels


def halves(judged: list[Judged]) -> tuple[Steps, Steps]:
    """For fitting and for measuring: all solutions to a question are in one half. ValueError where one has too few."""
    found: tuple[list, list] = ([], [])
    for item, scores in judged:
        half = zlib.crc32("\n".join(item.solutions[0].src).encode()) % 2
        for r, label in zip(scores[0].log_odds if scores else (), item.truth, strict=False):
            if label is not None:
                found[half].append((r, label))
    for part in found:
        right = sum(label > 0.5 for _, label in part)
        if min(right, len(part) - right) < LEAST_STEPS:
            raise ValueError(
                f"half of the questions have {right} steps labelled + and {len(part) - right} labelled -; this "
                f"needs {LEAST_STEPS} of each. Give more data."
            )
    first, second = (np.array(part).T for part in found)
    return (first[0], first[1]), (second[0], second[1])


def fitted(r: np.ndarray, y: np.ndarray, method: str) -> tuple[float, float]:
    """(slope, shift) of the least cross entropy, by Newton's method with halved steps."""
    columns = np.stack([r, np.ones_like(r)][: 1 if method == "temperature" else 2], axis=1)
    weights = np.array([1.0, 0.0])[: columns.shape[1]]
    for _ in range(ROUNDS):
        p = _sigmoid(columns @ weights)
        gradient = columns.T @ (p - y)
        curvature = (columns * (p * (1 - p))[:, None]).T @ columns + RIDGE * np.eye(len(weights))
        step, before = np.linalg.solve(curvature, gradient), cross_entropy(columns @ weights, y)
        while cross_entropy(columns @ (weights - step), y) > before and np.abs(step).max() > 1e-12:
            step = step / 2
        weights = weights - step
        if np.abs(step).max() < 1e-10:
            break
    slope, shift = (*weights.tolist(), 0.0)[:2]
    if slope < LEAST_SLOPE:
        raise ValueError(
            f"the best slope is {slope:.3g}: higher scores do not mean more + labels on this data, so no calibration "
            "can help. Check the convention, the labels, and that the model was trained."
        )
    return slope, shift


def quality(r: np.ndarray, y: np.ndarray) -> dict[str, float | None]:
    p = _sigmoid(r)
    return {"ece": calibration_error(p, y), "brier": float(((p - y) ** 2).mean()), "loss": cross_entropy(r, y)}


def cross_entropy(r: np.ndarray, y: np.ndarray) -> float:
    return float((np.logaddexp(0.0, r) - y * r).mean())


def _sigmoid(r: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -r))


def report(found: Calibration, measured: dict[str, Any], held_out: Steps, folder: Path) -> str:
    r, y = held_out
    rows = [(name, *(measured[name][key] for key in ("ece", "brier", "loss"))) for name in ("before", "after")]
    table = Table("on the half that was not fitted", ("", "ECE", "Brier", "cross entropy"), rows)
    pictures = [
        chart(f"reliability {name} calibration", charts.reliability, _sigmoid(values), y)
        for name, values in (("before", r), ("after", found.apply(r)))
    ]
    section = section_of(found.describe(), [table], [f'<div class="charts">{"".join(pictures)}</div>'])
    write_text(folder / "report.html", page_of("calibration", [], [section]))
    return text_of(table)
