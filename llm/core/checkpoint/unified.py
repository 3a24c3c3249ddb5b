"""Unified checkpoints of several files in one process.

PaddleNLP writes a file for each rank that has a part of the model or its optimiser, and lets any layout read them all,
except a single process: that reads only the first file, and keeps its random values for the rest.
"""

from __future__ import annotations

import re
from pathlib import Path

from paddlenlp.transformers.model_utils import load_state_dict

from llm.core.console import UserError

PART = re.compile(r"-\d+-of-(\d+)\.safetensors$")


def load_all_parts(first: str, *args, **kwargs) -> dict:
    folder, name = Path(first).parent, Path(first).name
    parts = sorted(folder.glob(PART.sub(r"-*-of-\1.safetensors", name)))
    if (named := PART.search(name)) and len(parts) != int(named[1]):
        raise UserError(
            f"resume_from_checkpoint: {folder} holds {len(parts)} of {int(named[1])} files such as {name}. Give "
            "another checkpoint, or copy this one again."
        )
    if not parts:
        raise UserError(f"resume_from_checkpoint: {first} is missing. Give another checkpoint, or copy this one again.")
    state = {}
    for part in parts:
        state |= load_state_dict(str(part), *args, **kwargs)
    return state
