"""Settings of a run, resolved against the machine and the model. No paddle here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llm.core.checkpoint import folder_settings
from llm.core.model.config import read_sizes
from llm.core.model.head.head_kinds import LM
from llm.core.model.sizes import Sizes
from llm.core.run import checks
from llm.core.run.arguments import MISPRINTS, is_unobeyed
from llm.core.run.run import fit, look_up_paths, this_machine
from llm.core.settings.parse import parse
from llm.core.settings.settings import Settings


class Resolved(NamedTuple):
    """The first values of a Run."""

    settings: Settings
    training: Any
    data: Any
    model: Any
    model_path: str
    sizes: Sizes
    ranks: int


def head_of_text(settings: Settings) -> str:
    """The kind of head of a model that learns text, whatever the settings."""
    return LM


def resolve_settings(
    classes: tuple[type, ...],
    argv: list[str],
    description: str,
    note_problems: Callable[[Settings, int, bool], None],
    head_of: Callable[[Settings], str] = head_of_text,
) -> Resolved:
    """`note_problems` (settings, ranks, whether there are GPUs) are the task's own; `head_of` the model that trains.
    ValueError with everything that is wrong with the settings."""
    settings = parse(classes, argv, description, MISPRINTS, is_unobeyed)
    machine = this_machine()
    model_path = look_up_paths(settings)
    note_problems(settings, *machine)
    folder_settings.note_problems(settings, model_path, checks.writes_model(settings))
    settings.check()
    sizes = read_sizes(model_path, head_of(settings))
    fit(settings, sizes)
    training, data, model = settings.build()
    return Resolved(settings, training, data, model, model_path, sizes, machine.ranks)
