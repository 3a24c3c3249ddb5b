"""Regular expressions of a tokenizer.json that try every way to match: they are refused, where the tokenizers package
would end in a panic, or not end. No paddle here.

Its engine gives up a match after ten million tries, a fraction of a second, with a panic. It tries again at every place
of a text, so a pattern that needs a little less lets a page of text take minutes.
"""

from __future__ import annotations

import contextlib
import string
import time
from collections.abc import Callable, Iterator

from llm.core.console import in_short

MOST_SECONDS = 1.0  # of the processor for at most LENGTH characters, which a sound pattern splits in a thousandth of it
LENGTH = 1024
PROBE = f"The 12 pens cost $3.50 each, isn't it?\n\n  {'a' * 24} = {'7' * 16}{' ' * 16}{string.printable}"


@contextlib.contextmanager
def panics_as_errors() -> Iterator[None]:
    """ValueError for a panic of Rust's, which is no Exception."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(
            f"tokenizer.json fails at a text ({in_short(error)}). A regular expression of its normalizer or "
            "pre_tokenizer may need too many tries: give another tokenizer."
        ) from error


def check_time(encode: Callable[[str], object]) -> None:
    """ValueError where texts take too long. Each is twice as long as the one before, so that the first that does takes
    seconds and not hours."""
    text, length = PROBE * (LENGTH // len(PROBE) + 1), 1
    while length <= LENGTH:
        start = time.thread_time()  # whatever else the machine does
        encode(text[:length])
        if (seconds := time.thread_time() - start) > MOST_SECONDS:
            raise ValueError(
                f"tokenizer.json needs {seconds:.1f} s for a text of {length:,} characters: a regular expression of "
                "its normalizer or pre_tokenizer tries every way to match. Give another tokenizer."
            )
        length *= 2
