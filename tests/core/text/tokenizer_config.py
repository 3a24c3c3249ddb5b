"""The file of a tokenizer's settings, changed."""

from __future__ import annotations

import json
from pathlib import Path


def rewrite(folder: Path, **changes) -> None:
    """Change tokenizer_config.json; ... takes a setting out."""
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not ...}), encoding="utf-8")
