"""Records and archives that look like the published data."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path


def record(number: int, labels: str = "+-") -> dict:
    steps = [f"Step {k + 1}: {number} + {k} = {number + k}" for k in range(len(labels))]
    return {
        "src": [""],
        "tgt": [],
        "responses": [f"What is it? {steps[0]}", *steps[1:]],
        "labels": list(labels),
    }


TRAIN = json.dumps([record(n) for n in range(5)], indent=4, ensure_ascii=False).encode()
DEV = json.dumps([record(n, "++-") for n in range(100, 103)]).encode()
LINES = b"".join(json.dumps(record(n)).encode() + b"\n" for n in range(4))


def tarball(path: Path, *members: tuple[tarfile.TarInfo | str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if info.isreg():
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path
