"""python -m llm export MODEL OUT --to FORM: a reward model as transformers, TRL or vLLM read it."""

from __future__ import annotations

from pathlib import Path

from llm.core.console import ArgumentParser, plain_errors
from llm.core.cpu import environment
from llm.export.forms import FORMS


def main(argv: list[str]) -> None:
    parser = ArgumentParser("python -m llm export", description=__doc__)
    parser.add_argument("MODEL", type=Path, help="output_dir of a training, one of its checkpoints, or LoRA adapters")
    parser.add_argument("OUT", type=Path, help="a new or empty folder for the model")
    parser.add_argument("--to", required=True, choices=FORMS, help="the form; docs/export.md says how each is read")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="of the weights; as in MODEL by default, float32 of adapters"
    )
    arguments = parser.parse_args(argv)
    environment.prepare()
    from llm.core import patches  # paddle takes seconds to import
    from llm.export.exporting import export

    patches.apply_to_library()
    with plain_errors(ValueError, OSError):
        for line in export(arguments.MODEL, arguments.OUT, arguments.to, arguments.dtype):
            print(line, flush=True)
