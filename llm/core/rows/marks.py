"""The marks of solutions at the positions of a row, and how those of several rows are put together."""

from __future__ import annotations

from collections.abc import Sequence as Several

import numpy as np


def positions_of(places: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """([K] the positions that are scored, [M] which of them each place is)"""
    scored, at = np.unique(np.concatenate(places), return_inverse=True)
    return scored.astype("int64"), at.astype("int64")


def joined(payloads: Several, name: str) -> np.ndarray:
    return np.concatenate([getattr(payload, name) for payload in payloads])


def moved(payloads: Several, name: str, first: np.ndarray) -> np.ndarray:
    """Numbers that begin at `first` for each payload."""
    return np.concatenate([getattr(payload, name) + start for payload, start in zip(payloads, first, strict=True)])
