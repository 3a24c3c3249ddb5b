"""Files with a few random changes: of their bytes, and of what they say."""

from __future__ import annotations

import gzip
import json
import struct
from random import Random
from typing import Any

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    1e300,
    -1e-300,
    2**31,
    2**63,
    2**70,
    "",
    "x",
    "3",
    "\ud800",
)
VALUES += ([], {}, [1], ["a"], {"a": 1}, [[[]]], "\u200b", "x" * 5000, float("nan"), float("inf"), [None], {"": None})
SNIPPETS = (
    "{% for a in range(99999) %}",
    "{% endfor %}",
    "{% if x %}",
    "{% endif %}",
    "{{",
    "}}",
    "{% set n = namespace(x=[1]) %}",
    "{% set n.x = [n.x, n.x] %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ messages * 99999 }}",
    "{{ 'a' * 10**9 }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ messages|tojson(indent=99999) }}",
    "{{ (" * 300,
    "{% include 'a' %}",
    "{{ raise_exception('no') }}",
    "\u202e",
    "\ud800",
)


def of_bytes(random: Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        at = random.randrange(len(changed) + 1)
        end = min(at + random.choice((1, 1, 4, 100)), len(changed))
        kind = random.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            del changed[at:end]
        elif kind == 2:
            changed[at:at] = random.randbytes(random.choice((1, 2, 30)))
        elif kind == 3:
            changed[at:at] = changed[at:end] * random.choice((1, 2, 50))
        elif kind == 4:
            changed[at:end] = random.choice((b"\x00", b"\xff", b'"', b"{", b"[" * 5000, b"9" * 400, b"\\u200b", b"\n"))
        else:
            del changed[at:]
    return bytes(changed)


def of_json(random: Random, content: bytes) -> bytes:
    """A value of it is another one, has gone, has another name or is there twice."""
    if random.random() < 0.3:
        return of_bytes(random, content)
    document = json.loads(content)
    places = list(_places(document, document))
    for _ in range(random.choice((1, 1, 2))):
        owner, key = random.choice(places)
        if random.random() < 0.7:
            owner[key] = random.choice(VALUES)
        elif isinstance(owner, dict):
            value = owner.pop(key, None)
            if random.random() < 0.5:
                owner[f"{key}{random.choice(('x', chr(0x200B), ' ', '.'))}"] = value
    text = json.dumps(document, ensure_ascii=random.random() < 0.5)
    if random.random() < 0.1 and isinstance(document, dict) and document:
        text = json.dumps({random.choice(list(document)): random.choice(VALUES)})[:-1] + ", " + text[1:]
    return text.encode(errors="surrogatepass")


def _places(value: Any, root: Any):
    """(container, key) of everything in a document; a document is in a list of its own no place."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item, root)


def of_lines(random: Random, content: bytes) -> bytes:
    """Of JSON Lines, one of which changes."""
    lines = content.splitlines()
    number = random.randrange(len(lines))
    lines[number] = of_json(random, lines[number])
    return b"\n".join(lines) + b"\n"


def of_zipped(random: Random, content: bytes, inside=of_bytes) -> bytes:
    """The compressed bytes, or what they hold."""
    if random.random() < 0.5:
        return of_bytes(random, content)
    return gzip.compress(inside(random, gzip.decompress(content)), 1)


def of_header(random: Random, content: bytes) -> bytes:
    """Of a safetensors file: its JSON, with a right length of it or another, or any byte."""
    if random.random() < 0.2:
        return of_bytes(random, content)
    (length,) = struct.unpack("<Q", content[:8])
    header = of_json(random, content[8 : 8 + length])
    said = len(header) if random.random() < 0.9 else random.choice((0, 1, len(header) - 1, 2**40, 2**63))
    return struct.pack("<Q", said) + header + content[8 + length :]


def of_template(random: Random, content: bytes) -> bytes:
    text = content.decode()
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.randrange(len(text) + 1)
        if random.random() < 0.6:
            text = text[:at] + random.choice(SNIPPETS) + text[at:]
        else:
            text = text[:at] + text[at + random.randrange(20) :]
    changed = text.encode(errors="surrogatepass")
    return of_bytes(random, changed) if random.random() < 0.3 else changed


TAR_FIELDS = ((0, 100), (100, 108), (124, 136), (136, 148), (148, 156), (156, 157), (157, 257), (257, 265), (345, 500))


def of_tar(random: Random, content: bytes) -> bytes:
    """A field of a member's header, whose checksum may be right again, or any byte."""
    if random.random() < 0.3:
        return of_bytes(random, content)
    changed = bytearray(content)
    headers = [at for at in range(0, len(content) - 511, 512) if content[at + 257 : at + 262] == b"ustar"]
    block = random.choice(headers)
    start, end = random.choice(TAR_FIELDS)
    value = random.choice(
        (b"\x80" + b"\xff" * 11, b"7777777777", b"../../x", b"/etc/x", b"S", b"x", b"L", b"\xff", b"")
    )
    changed[block + start : block + end] = value[: end - start].ljust(end - start, b"\0")
    if random.random() < 0.8:
        header = changed[block : block + 148] + b" " * 8 + changed[block + 156 : block + 512]
        changed[block + 148 : block + 156] = b"%06o\0 " % sum(header)
    return bytes(changed)
