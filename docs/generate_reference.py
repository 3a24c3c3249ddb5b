"""Writes docs/reference.md and llm/config/*.schema.json from the code: make docs. A test fails if one is old."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from llm.alignment.rm.flashmask.reward_argument import CLASSES
from llm.alignment.rm.flashmask.reward_metrics import (
    INTERVAL_METRICS,
    OUTCOME_METRICS,
    PREFERENCE_METRICS,
    STEP_METRICS,
)
from llm.command_line import VERBS
from llm.core.settings.display import markdown_table
from llm.core.settings.settings import collect
from llm.tasks.schema import schema_text
from llm.tasks.table import TASKS, task_named

TITLES = {"TrainingArguments": "Training", "DataArgument": "Data", "ModelArgument": "Model"}
EVALUATIONS = {
    "Labelled steps": STEP_METRICS,
    "Labelled answers (`process_reward` false)": OUTCOME_METRICS,
    "With `reward_head` quantile, in addition": INTERVAL_METRICS,
    "Preferences": PREFERENCE_METRICS,
}


def reference() -> str:
    parameters = collect(CLASSES)
    lines = [
        "# Reference",
        "",
        "Every setting, verb and metric. Generated from the code by `make docs`; edit the code, not this page.",
        "[Training](training.md) explains how settings work together, [data](data.md) what is read.",
        "",
        "## Settings",
    ]
    for cls in CLASSES:
        lines += ["", f"### {TITLES[cls.__name__]}", "", *markdown_table(parameters, cls)]
    lines += ["", "## Verbs", "", "`python -m llm VERB`, or `paddle-reward VERB` where the package is installed.", ""]
    lines += ["| verb | what it does |", "| --- | --- |"]
    lines += [f"| `{verb}` | {meaning} |" for verb, (_, meaning) in VERBS.items()]
    lines += ["", "## Metrics", "", "Metrics of an evaluation carry `eval_` before their names. A step or an answer is"]
    lines += [
        "predicted `+` if its score is above 0.5, and labelled `+` if its label is. A metric whose denominator is"
    ]
    lines += ["zero is null."]
    for title, metrics in EVALUATIONS.items():
        lines += ["", f"### {title}", "", "| metric | meaning |", "| --- | --- |"]
        lines += [f"| `eval_{name}` | {meaning} |" for name, meaning in metrics.items()]
    return "\n".join(lines) + "\n"


def files() -> dict[Path, str]:
    return {
        REPOSITORY / "docs/reference.md": reference(),
        **{REPOSITORY / "llm/config" / task_named(name).schema: schema_text(name) + "\n" for name in TASKS},
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(REPOSITORY))
