"""How much of the data has been read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm


@contextlib.contextmanager
def reading_bar(files: Sequence[Path], shown: bool) -> Iterator[Callable[[int], object]]:
    """A function that takes the number of bytes read since the last call. What is read at once shows no bar."""
    size = sum(file.stat().st_size for file in files)
    with tqdm(total=size, desc="reading", unit="B", unit_scale=True, delay=0.2, leave=False, disable=not shown) as bar:
        yield bar.update
