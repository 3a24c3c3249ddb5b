"""Where the curves of a run can be written to."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

PACKAGES = {"visualdl": "visualdl", "tensorboard": "tensorboardX", "wandb": "wandb"}
NONE = "none"
REPORTS = (*PACKAGES, NONE)


def problem_of_reports(reports: Sequence[str]) -> str | None:
    """Why curves cannot be written there, or None."""
    if NONE in reports and len(reports) > 1:
        return "none means no curves; write it alone, or leave it out"
    missing = [PACKAGES[name] for name in reports if name != NONE and not importlib.util.find_spec(PACKAGES[name])]
    if missing:
        return f"{', '.join(missing)} is not installed; install it (pip install {' '.join(missing)}) or leave it out"
    return None
