"""Which tasks there are, and which of them a command is about. No paddle here."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

from llm.core.paths import find_files, resolve_path
from llm.core.records.dialogues import is_dialogue
from llm.core.records.json_stream import read_values
from llm.core.run.task import Task
from llm.core.settings.parse import SCHEMA, split_words

TASKS = {  # modules with a TASK
    "reward": "llm.alignment.rm.flashmask.reward_task",
    "sft": "llm.finetune.sft_task",
    "dpo": "llm.alignment.dpo.dpo_task",
}
DEFAULT, OF_DIALOGUES = "reward", "sft"
DATA, FLAG = "train_dataset_path", "task"
HEAD = 1 << 16
# In a record's text the quotes would be escaped.
CONFIG_KEY = re.compile(r'"(model_name_or_path|train_dataset_path)"\s*:')


def task_named(name: str) -> Task:
    if name not in TASKS:
        raise ValueError(f"--task {name}: there is no such task; write one of {', '.join(TASKS)}.")
    return import_module(TASKS[name]).TASK


def find_task(argv: list[str], config: str | None = None) -> tuple[Task, list[str]]:
    """The task that a command is about, and its words without --task. It is the one that is named, or the only one that
    has a setting of the configuration or a flag, or whose schema the configuration names, or whose records the data
    has. What fits all of them is about rewards."""
    given, words = _without_flag(argv)
    if given is not None:
        return task_named(given), words
    first, data, flags = split_words(words)
    if config is None and first is not None and is_config(first):
        config, first = first, None
    settings = _members_of(config) if config else {}
    named = dict(flags)
    names = {*settings, *named}
    tasks = {name: task_named(name) for name in TASKS}
    known = Counter(name for task in tasks.values() for name in task.names)
    by_names = [task for task in tasks.values() if any(known[name] == 1 for name in names & task.names)]
    if len(by_names) == 1:
        return by_names[0], words
    schema = Path(str(settings.get(SCHEMA, ""))).name
    for task in tasks.values():
        if schema == task.schema:
            return task, words
    written = named.get(DATA) or settings.get(DATA) or [*([first] if first else []), *data]
    return tasks[OF_DIALOGUES if _holds_dialogues(written) else DEFAULT], words


def _without_flag(argv: list[str]) -> tuple[str | None, list[str]]:
    given, words, rest = None, [], iter(argv)
    for word in rest:
        name, equals, value = word.partition("=")
        if name != f"--{FLAG}":
            words.append(word)
        elif given is not None:
            raise ValueError(f"--{FLAG} is given twice; keep one of them.")
        else:
            given = value if equals else next(rest, "")
    return given, words


def is_config(path: str) -> bool:
    """A configuration, and not data: an object with one of the keys that it needs, valid JSON or not."""
    try:
        with open(resolve_path(path), encoding="utf-8-sig", errors="replace") as file:
            head = file.read(HEAD).lstrip()
    except (OSError, ValueError):
        return False
    return head.startswith("{") and bool(CONFIG_KEY.search(head))


def _members_of(config: str) -> dict:
    """Nothing where it is no JSON object, which is reported when its settings are read."""
    try:
        found = json.loads(resolve_path(config).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _holds_dialogues(paths: object) -> bool:
    """By the first record; what cannot be read is reported later."""
    try:
        for path in find_files(paths) if paths else ():  # type: ignore[arg-type]  # refused if it is of no such type
            for _, value in read_values(path):
                return is_dialogue(value)
    except (OSError, ValueError, TypeError):
        pass
    return False
