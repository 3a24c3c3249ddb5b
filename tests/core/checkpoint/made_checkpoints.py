"""Checkpoints of a few bytes."""

from __future__ import annotations

from llm.core.checkpoint import checkpoints
from llm.core.checkpoint.checkpoints import (
    mark_complete,
)


def make(output_dir, step: int, complete=True):
    folder = output_dir / f"checkpoint-{step}"
    (folder / "rank").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights" * 10)
    (folder / "rank/optimizer.pdopt").write_bytes(b"moments")
    (folder / "empty").touch()
    if complete:
        mark_complete(folder)
    return folder


def steps(folders) -> list[int]:
    return [checkpoints.step_of(folder) for folder in folders]
