"""Lines of records whose bytes were lost, doubled and exchanged."""

from __future__ import annotations

import random
from pathlib import Path


def write_mutated(path: Path, source: list[str], count: int, seed: int = 0) -> int:
    """So many lines, one or more of each of the source's; how many of them are not blank."""
    chance = random.Random(seed)
    lines = []
    for _ in range(count):
        text = bytearray(chance.choice(source).encode())
        for _ in range(chance.randint(1, 4)):
            at, other = chance.randrange(len(text)), bytes([chance.randrange(256)])
            new = chance.choice([b"", other, text[at : at + 9], b"[{", b'"', b"null"])
            text[at : at + chance.randint(0, 3)] = new
            text = text or bytearray(b"{")
        lines.append(bytes(text).replace(b"\n", b" "))
    lines[0] = b"{}"  # what a line of a list begins with would make all of it a list
    path.write_bytes(b"\n".join(lines))
    return sum(bool(text.strip(b" \t\r\n")) for text in lines)
