"""python -m llm benchmark KIND [arguments]: what this machine makes of a packing, an attention, a training run.

Each kind prints tables for people and one JSON object as its last line; progress goes to stderr.
"""

from __future__ import annotations

from importlib import import_module

from llm.benchmark.arguments import KINDS, parse
from llm.core.console import plain_errors, refuse
from llm.core.cpu import environment


def main(argv: list[str]) -> None:
    if not argv or argv[0] not in KINDS:
        kinds = (f"  {kind:<12}{meaning}" for kind, (_, meaning) in KINDS.items())
        usage = "\n".join(["usage: python -m llm benchmark KIND [arguments]", *kinds])
        if not argv or argv[0] in ("-h", "--help"):
            print(usage)
            raise SystemExit(0 if argv else 2)
        refuse(f"unknown benchmark {argv[0]!r}\n{usage}")
    kind = argv[0]
    arguments = parse(kind, argv[1:])
    set_here = environment.prepare()  # before paddle is imported
    with plain_errors(ValueError, OSError):
        import_module(f"llm.benchmark.{kind}.{kind}").main(arguments, set_here)
