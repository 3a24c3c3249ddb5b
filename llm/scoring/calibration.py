"""Calibrated scores: log-odds r become slope * r + shift, fitted to labels. No paddle here.

`temperature` is a slope of 1 / T without a shift: no verdict at 0.5 changes. `platt` has both. The file lies in the
model's folder, belongs to its weights and has a checksum of what it says.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm.core.files import checksum_of_json, write_json
from llm.core.strict_json import object_of

FILE, CHECKSUM = "calibration.json", "checksum"
METHODS = ("temperature", "platt")


@dataclass(frozen=True)
class Calibration:
    method: str
    slope: float
    shift: float
    weights: str  # the fingerprint of the weights that it was fitted to
    convention: str

    def apply(self, log_odds: np.ndarray) -> np.ndarray:
        return self.slope * log_odds + self.shift

    def describe(self) -> str:
        return f"calibrated by {self.method}: {self.slope:.4g} * log-odds {self.shift:+.4g}"


def save(calibration: Calibration, folder: Path, measured: dict[str, Any]) -> Path:
    content = {**asdict(calibration), "measured": measured}
    write_json(folder / FILE, {**content, CHECKSUM: checksum_of_json(content)})
    return folder / FILE


def load(folder: Path, weights: str, convention: str) -> Calibration:
    """ValueError where there is none, one that has changed since it was saved, or one of other weights."""
    path = folder / FILE
    if not path.is_file():
        raise ValueError(f"{folder} has no {FILE}. Fit one: python -m llm calibrate {folder} DATA --output DIR")
    values = object_of(path.read_bytes(), str(path))
    if values.pop(CHECKSUM, None) != checksum_of_json(values):
        raise ValueError(
            f"{path} has changed since it was saved (its checksum differs or is missing). Fit it again: python -m llm "
            "calibrate"
        )
    try:
        found = Calibration(
            values["method"], float(values["slope"]), float(values["shift"]), values["weights"], values["convention"]
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is not a calibration ({error!r}). Fit it again: python -m llm calibrate") from error
    if not (np.isfinite([found.slope, found.shift]).all() and found.slope > 0 and found.method in METHODS):
        raise ValueError(
            f"{path}: method {found.method!r}, slope {found.slope} and shift {found.shift} are not a calibration. Fit "
            "it again."
        )
    if (found.weights, found.convention) != (weights, convention):
        raise ValueError(
            f"{path} was fitted to other weights or another convention ({found.convention}), so its scores would be "
            "wrong for this model. Fit it again: python -m llm calibrate"
        )
    return found
