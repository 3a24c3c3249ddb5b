"""Settings as people read them: --help, the screen before a run, and the files beside a model."""

from __future__ import annotations

import inspect
import shutil
import sys
import textwrap
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.core.files import write_json
from llm.core.settings.values import describe, plain, show

if TYPE_CHECKING:
    from llm.core.settings.settings import Parameter, Settings

HIDDEN = "(hidden)"  # what is shown of a key to somebody's account; it is not saved either


def is_secret(name: str) -> bool:
    return name.endswith("_api_key")


def help_text(parameters: dict[str, Parameter], description: str) -> str:
    """Every parameter with type, default and meaning: a group for each class, the inherited ones last."""
    width = shutil.get_terminal_size().columns
    usage = (
        "CONFIG.json holds one object of the keys below; the command line wins over it. --key alone "
        "sets a true/false, --no_key unsets it; a list takes several words."
    )
    lines = textwrap.wrap(f"usage: {Path(sys.argv[0]).name} [CONFIG.json] [--key value ...]", width)
    for paragraph in [*inspect.cleandoc(description).split("\n\n"), usage]:
        is_command = paragraph.startswith(" ")  # indented: to be copied, so its lines stay whole
        lines += ["", *(paragraph.splitlines() if is_command else textwrap.wrap(paragraph, width))]
    owner = None
    for parameter in parameters.values():
        if parameter.owner is not owner:
            owner = parameter.owner
            inherited = "" if parameter.documented else f": what is inherited from {owner.__module__}"
            lines += ["", *textwrap.wrap(owner.__name__ + inherited, width)]
        default = "required" if parameter.default is MISSING else f"default {show(parameter.default)}"
        lines += textwrap.wrap(
            f"--{parameter.name}  {describe(parameter.hint)}; {default}",
            width,
            initial_indent="  ",
            subsequent_indent=" " * 10,
        )
        lines += textwrap.wrap(parameter.help, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def render(settings: Settings) -> str:
    """The screen before a run: what the user wrote, the documented defaults, and those that gave way."""
    defaults = [
        name
        for name, parameter in settings.parameters.items()
        if name not in settings.values and (parameter.documented or name in settings.changed)
    ]
    groups = {
        "settings given": [name for name in settings.parameters if name in settings.values],
        "settings by default": defaults,
    }
    shown = [name for names in groups.values() for name in names]
    left = max(map(len, shown), default=0)
    middle = max((len(where(settings, name)) for name in shown), default=0)
    lines = []
    for title, names in groups.items():
        lines.append(title)
        for name in names:
            lines.append(f"  {name:<{left}}  {where(settings, name):<{middle}}  {value_text(settings, name)}")
    if settings.gave_way:
        lines += ["defaults that gave way", *(f"  {line}" for line in settings.gave_way)]
    return "\n".join(lines)


def value_text(settings: Settings, name: str) -> str:
    return HIDDEN if is_secret(name) and settings[name] else show(settings[name], limit=10_000)


def where(settings: Settings, name: str) -> str:
    return settings.place.get(name, "default, gave way" if name in settings.changed else "default")


def save(settings: Settings, instances: tuple[Any, ...], path: str | Path) -> None:
    """Write every setting to `path`, itself a CONFIG.json that asks for the same again, and beside it to
    NAME_origin.json where each came from and, where an instance has made something else of it, what.
    """
    path = Path(path)
    names = [name for name in settings.parameters if not is_secret(name)]
    origins: dict[str, dict[str, Any]] = {name: {"origin": where(settings, name)} for name in names}
    for instance in instances:
        for name in origins.keys() & {field.name for field in fields(instance)}:
            if (in_use := plain(getattr(instance, name, settings[name]))) != settings[name]:
                origins[name]["in_use"] = in_use
    write_json(path, {name: settings[name] for name in names})
    write_json(
        path.with_name(f"{path.stem}_origin.json"), {"origin_of_settings": origins, "gave_way": settings.gave_way}
    )
