"""python -m llm schema: a JSON schema of run_reward.py's settings, for editors that complete and check them."""

from __future__ import annotations

import json

from llm.alignment.rm.flashmask.reward_argument import CLASSES
from llm.core.console import ArgumentParser
from llm.core.settings.schema import json_schema


def schema_text() -> str:
    return json.dumps(json_schema(CLASSES), indent=2, ensure_ascii=False)


def main(argv: list[str]) -> None:
    ArgumentParser("python -m llm schema", description="Prints a JSON schema of the settings.").parse_args(argv)
    print(schema_text())
