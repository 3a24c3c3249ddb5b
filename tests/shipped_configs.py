"""What is asked of every shipped configuration of a language model's training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from llm.core.run import checks
from llm.core.settings.parse import parse
from llm.core.settings.settings import Settings

FOLDER = Path(__file__).resolve().parents[1] / "llm/config"


def assert_accepted(config: Path, classes: tuple[type, ...], note_problems: Callable[[Settings, int, bool], None]):
    """On its number of processes, and no setting of the file is changed."""
    settings, is_tiny = parse(classes, [str(config)], ""), config.parent.name == "tiny"
    note_problems(settings, 1 if is_tiny else 4, not is_tiny)
    checks.fit_lengths(settings)
    settings.check()
    written = json.loads(config.read_text())
    assert written.pop("$schema") == f"../{config.name.partition('_')[0]}.schema.json"
    assert {name: settings[name] for name in written if not name.endswith("_dataset_path")} == {
        name: value for name, value in written.items() if not name.endswith("_dataset_path")
    }
    assert is_tiny or (settings["flash_mask"] and settings["bf16"])
