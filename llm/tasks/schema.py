"""python -m llm schema [--task sft]: a JSON schema of the settings, for editors that complete and check them."""

from __future__ import annotations

import json

from llm.core.console import ArgumentParser
from llm.core.settings.schema import json_schema
from llm.tasks.table import DEFAULT, TASKS, task_named


def schema_text(name: str) -> str:
    task = task_named(name)
    return json.dumps(json_schema(task.classes, task.script), indent=2, ensure_ascii=False)


def main(argv: list[str]) -> None:
    parser = ArgumentParser("python -m llm schema", description="Prints a JSON schema of the settings.")
    parser.add_argument("--task", choices=TASKS, default=DEFAULT, help="whose settings (default: %(default)s)")
    print(schema_text(parser.parse_args(argv).task))
