"""jinachris/PURE-PRM-7B: TRL's form with a blank line behind each step. A step is right where p1 - p0 > 0. No paddle
here."""

from __future__ import annotations

from functools import partial

from llm.scoring.conventions import trl

NAME, VERSION, HEAD = "pure", 1, trl.HEAD
convention_of = partial(trl.convention_of, name=NAME, separator="\n\n")
