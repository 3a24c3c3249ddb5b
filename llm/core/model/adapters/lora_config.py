"""What a folder of adapters says of them: lora_config.json, which PaddleNLP would take with any values, and
lora_base.json."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paddlenlp.peft import LoRAConfig

from llm.core.model.head.head_kinds import KINDS, TRAINED
from llm.core.model.shapes import PROJECTIONS
from llm.core.strict_json import read_object

BASE_FILE = "lora_base.json"  # which weights the adapters belong to; lora_config.json knows the folder alone
FINGERPRINT = re.compile("crc32 [0-9a-f]{8}")
REWARD_ROWS, PLACEHOLDER_ROW = "reward_rows", "placeholder_row"


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value < 1 << 31


def _are_targets(value: object) -> bool:
    return isinstance(value, list) and bool(value) and {*map(repr, value)} <= {repr(target_of(n)) for n in PROJECTIONS}


def target_of(projection: str) -> str:
    """PaddleNLP takes each target for a pattern of a whole path."""
    return rf".*\.layers\..*\.{projection}"


def trainable_with(reward_head: str) -> list[str]:
    """The names of what trains in full, each as a pattern."""
    head = KINDS[reward_head].names if reward_head in KINDS else ()
    return [REWARD_ROWS, PLACEHOLDER_ROW, *map(re.escape, head)]


# what lora_config.json must say of adapters, and what this project does not look at there
NEEDED: dict[str, Callable[[Any], bool]] = {
    "r": _is_count,
    "lora_alpha": _is_count,
    "target_modules": _are_targets,
    "trainable_modules": lambda value: value in [trainable_with(head) for head in TRAINED],
    "base_model_name_or_path": lambda value: isinstance(value, str) and bool(value.strip()),
}
NOT_USED = ("dtype", "tensor_parallel_degree", "scaling")


def read_config(file: Path) -> LoRAConfig:
    """The library would take any value for each of them. What a training wrote has the rest at its defaults."""
    written = read_object(file)
    wrong = [name for name, is_right in NEEDED.items() if not is_right(written.get(name))]
    defaults = asdict(LoRAConfig())
    wrong += [
        name
        for name, value in written.items()
        if name not in (*NEEDED, *NOT_USED) and (value != defaults.get(name) or name not in defaults)
    ]
    if wrong:
        shown = ", ".join(f"{name} {written.get(name)!r:.100}" for name in wrong)
        raise ValueError(f"{file} has a value that no training writes: {shown}. Copy the folder again.")
    return LoRAConfig(**{name: written[name] for name in NEEDED})


def fingerprint_in(file: Path) -> str:
    weights = read_object(file).get("weights")
    if not isinstance(weights, str) or not FINGERPRINT.fullmatch(weights):
        raise ValueError(f"{file} does not say which weights the adapters belong to. Copy the folder again.")
    return weights
