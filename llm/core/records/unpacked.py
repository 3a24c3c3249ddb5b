"""The bytes of a file as they were before gzip or zstd packed them; both are recognised by their first bytes."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import BinaryIO, cast

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
DAMAGE = (OSError, EOFError, zlib.error)  # what reading a damaged file raises


def unpacked(file: BinaryIO) -> BinaryIO:
    """The file from its beginning, unpacked if it is compressed."""
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    if head.startswith(GZIP):
        return cast(BinaryIO, gzip.open(file))
    if head == ZSTD:
        from pyarrow import CompressedInputStream  # only here: importing it takes longer than most files

        return io.BufferedReader(CompressedInputStream(file, "zstd"), 1 << 18)
    return file
