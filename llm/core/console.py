"""How an error reaches a user: a paragraph and exit code 2, without a stack of library frames."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def plain_errors(*kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        print(f"\nerror: {error}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None


def in_short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"[:300]
