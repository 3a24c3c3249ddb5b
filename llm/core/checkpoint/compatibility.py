"""Whether a checkpoint belongs to the run that is about to resume from it. No paddle here."""

from __future__ import annotations

from pathlib import Path

from llm.core.checkpoint.checkpoints import IDENTITY
from llm.core.files import read_json
from llm.core.model.shapes import HEAD
from llm.core.strict_json import read_object


def identity_differences(folder: Path, identity: dict, defaults: dict) -> list[str]:
    """What the run that wrote this checkpoint had different; resuming would silently train something else. A setting
    that its version did not know had its default."""
    before = defaults | (read_object(folder / IDENTITY) if (folder / IDENTITY).exists() else {})
    names = sorted({*before, *identity})
    return [
        f"{name}: {before.get(name)!r} in the checkpoint, {identity.get(name)!r} now"
        for name in names
        if before.get(name) != identity.get(name)
    ]


def check_stages(checkpoint: Path | None, stages: int, tied: bool) -> None:
    """A pipeline keeps the state of a matrix that two stages share under both of its names, and looks for both."""
    if checkpoint is None or not tied or stages <= 1:
        return
    state = read_json(checkpoint / "optimizer.safetensors.index.json")["weight_map"]
    if len({name.partition("/")[0] for name in state if HEAD in name or "embed_tokens" in name}) < 2:
        raise ValueError(
            f"pipeline_parallel_degree: {checkpoint} was saved without a pipeline, and this model's embedding is "
            "also its head, of which a pipeline needs two copies. Resume without a pipeline, or start a new run "
            "from its model."
        )
