"""Log-probabilities of answers by a reference, in a file: written ahead of a training, and checked when it is read.

A safetensors file of `keys` (which answer to which prompt, as rows have them) and `log_p`, with the weights that gave
them and a checksum. No paddle here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from llm.core.files import flush

VERSION = 1
ABOUT, CHECKSUM = "made from", "checksum"
PARTS = ".parts"  # behind the file's name: a folder of what is known before all is


@dataclass(frozen=True)
class Known:
    keys: np.ndarray  # [A] int64, rising
    log_p: np.ndarray  # [A] float64

    @classmethod
    def of(cls, keys: Iterable[np.ndarray], log_p: Iterable[np.ndarray]) -> Known:
        all_keys, first = np.unique(np.concatenate([np.zeros(0, "int64"), *keys]), return_index=True)
        return cls(all_keys, np.concatenate([np.zeros(0), *log_p])[first])

    def look_up(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """([N] log-probabilities, [N] whether they are known)"""
        if not len(self.keys):
            return np.zeros(len(keys)), np.zeros(len(keys), bool)
        place = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return self.log_p[place], self.keys[place] == keys


def merged(parts: list[Known]) -> Known:
    return Known.of([part.keys for part in parts], [part.log_p for part in parts])


def write(path: Path, made_from: dict[str, Any], known: Known) -> None:
    """All or nothing."""
    tensors = {"keys": known.keys, "log_p": known.log_p}
    content = save(tensors, {ABOUT: json.dumps(made_from, sort_keys=True), CHECKSUM: _checksum(made_from, known)})
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_bytes(content)
        flush(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Any], Known]:
    """(what it was made from, what it holds); ValueError if it is damaged, or something else."""
    try:
        with safe_open(path, framework="np") as file:
            about = file.metadata() or {}
            made_from = json.loads(about[ABOUT])
            known = Known(file.get_tensor("keys"), file.get_tensor("log_p"))
        is_whole = about[CHECKSUM] == _checksum(made_from, known) and made_from["version"] == VERSION
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as log-probabilities of a reference ({error})") from error
    if not is_whole:
        raise ValueError(f"{path} is damaged, or of another version of this program")
    return made_from, known


def _checksum(made_from: dict[str, Any], known: Known) -> str:
    value = xxhash.xxh3_128(json.dumps(made_from, sort_keys=True).encode())
    value.update(known.keys.tobytes())
    value.update(known.log_p.tobytes())
    return value.hexdigest()
