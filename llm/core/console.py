"""What a person sees of a command: errors as a paragraph without library frames, flags spelt in one way."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

# Invisible letters and marks that Python itself calls printable.
UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
INTERRUPTED = 128 + signal.SIGINT  # as a shell has it
WIDTH = 120  # of a line on the screen


class UserError(ValueError):
    """What a person can put right, where another ValueError may as well be a fault of this program or of a library."""


@contextlib.contextmanager
def plain_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Inside, an error of these kinds ends the process with exit code 2, and Ctrl-C with a line."""
    try:
        yield
    except kinds as error:
        print(f"\nerror: {error}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, RuntimeError) as error:
        # Paddle's C++ code turns an interrupt that passes through it into its own error
        if not isinstance(error, KeyboardInterrupt) and "KeyboardInterrupt" not in str(error):
            raise
        print("\nstopped by Ctrl-C", file=sys.stderr, flush=True)
        raise SystemExit(INTERRUPTED) from None


def refuse(text: str) -> NoReturn:
    """A command that cannot be carried out, as it was given."""
    print(text, file=sys.stderr)
    raise SystemExit(2)


class ArgumentParser(argparse.ArgumentParser):
    """Flags are spelt with underscores, hyphens are accepted, and nothing is abbreviated."""

    def __init__(self, prog: str | None = None, **kwargs: Any) -> None:
        super().__init__(prog, allow_abbrev=False, **kwargs)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else args
        return super().parse_args([_with_underscores(word) for word in words], namespace)


def bounded(kind: type[int] | type[float], least: float, most: float = math.inf) -> Callable[[str], Any]:
    """The type of a flag: a number of this kind within bounds."""

    def parse(text: str) -> int | float:
        value = kind(text)
        if not least <= value <= most:  # nor is NaN
            bounds = f"at least {least}" if most == math.inf else f"between {least} and {most}"
            raise argparse.ArgumentTypeError(f"{text} is not {bounds}")
        return value

    parse.__name__ = "whole number" if kind is int else "number"  # argparse names it in its message
    return parse


def _with_underscores(word: str) -> str:
    flag, equals, value = word.partition("=")
    return flag[:2] + flag[2:].replace("-", "_") + equals + value if word.startswith("--") else word


def folded(text: str) -> str:
    """The same lines, those that are too long continued on indented ones; a word, such as a path, stays whole."""
    lines = text.splitlines()
    long = [number for number, line in enumerate(lines) if len(line) > WIDTH]
    for number in long:
        indent = " " * (len(lines[number]) - len(lines[number].lstrip()) + 4)
        lines[number] = textwrap.fill(
            lines[number], WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


def in_short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return visible(f"{type(error).__name__}: {' '.join(lines[:2])}"[:300])


def visible(text: str) -> str:
    """The text with escapes for what is not seen, turns what follows it around or cannot be written: zero-width and
    bidirectional characters, line breaks, the terminal's own codes, halves of characters."""
    if text.isprintable() and not UNSEEN.search(text):
        return text
    return "".join(c if c.isprintable() and not UNSEEN.match(c) else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def count_of(number: int, what: str, plural: str = "") -> str:
    return f"{number:,} {what if number == 1 else plural or f'{what}s'}"


def listed(items: Sequence, most: int = 5) -> str:
    """The first ones, visible, and how many more there are."""
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(visible(str(item)) for item in items[:most]) + more


def problem_list(problems: Sequence[str], most: int = 20) -> str:
    """A line each; of many the first ones, and how many more there are."""
    more = f"\n... and {len(problems) - most:,} more" if len(problems) > most else ""
    return "\n".join(problems[:most]) + more


def show(text: str) -> None:
    """A reader such as head or less may close the pipe before the end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
