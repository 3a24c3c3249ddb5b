"""python -m llm merge-lora ADAPTER_DIR OUTPUT_DIR: one plain causal LM of LoRA adapters and their base."""

from __future__ import annotations

from pathlib import Path

from llm.core.console import ArgumentParser, plain_errors
from llm.core.cpu import environment


def main(argv: list[str]) -> None:
    parser = ArgumentParser("python -m llm merge-lora", description=__doc__)
    parser.add_argument("ADAPTER_DIR", type=Path, help="output_dir of a training with lora true")
    parser.add_argument("OUTPUT_DIR", type=Path, help="a new or empty folder for the model")
    arguments = parser.parse_args(argv)
    environment.prepare()
    from llm.core import patches  # paddle takes seconds to import
    from llm.export.merging import merge

    patches.apply_to_library()
    with plain_errors(ValueError, OSError):
        for line in merge(arguments.ADAPTER_DIR, arguments.OUTPUT_DIR):
            print(line, flush=True)
