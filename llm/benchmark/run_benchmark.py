"""python -m llm benchmark KIND [arguments]: what this machine makes of a packing, an attention, a training run.

Each kind prints tables for people and one JSON object as its last line; progress goes to stderr.
"""

from __future__ import annotations

from importlib import import_module

from llm.core.console import plain_errors
from llm.core.cpu import environment

KINDS = {
    "packing": ("llm.benchmark.packing", "tokens that each packing computes for your data"),
    "attention": ("llm.benchmark.attention", "time of attention by length and number of documents"),
    "training": ("llm.benchmark.training", "solutions and tokens a second of each packing, memory, where time goes"),
    "scaling": ("llm.benchmark.scaling", "what every layout of several processes sends and holds, measured"),
    "peer": ("llm.benchmark.peer", "the same solutions through this project and through TRL's PRMTrainer"),
}


def main(argv: list[str]) -> None:
    if not argv or argv[0] not in KINDS:
        wanted = bool(argv) and argv[0] not in ("-h", "--help")
        unknown = [f"unknown benchmark {argv[0]!r}"] if wanted else []
        print(*unknown, "usage: python -m llm benchmark KIND [arguments]", sep="\n")
        for kind, (_, meaning) in KINDS.items():
            print(f"  {kind:<12}{meaning}")
        raise SystemExit(2 if wanted or not argv else 0)
    set_here = environment.prepare()  # before paddle is imported
    module, _ = KINDS[argv[0]]
    with plain_errors(ValueError, OSError):
        import_module(module).main(argv[1:], set_here)
