"""Settings as people read them: --help, the screen before a run, the table in the docs, the files next to a model."""

from __future__ import annotations

import inspect
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.core.files import write_json
from llm.core.settings.values import describe, plain, show

if TYPE_CHECKING:
    from llm.core.settings.settings import Parameter, Settings

USAGE = (
    "CONFIG.json holds one object of the keys below; the command line overrides it. --key alone sets a true/false, "
    "--no_key unsets it; a list takes several words."
)


def help_text(parameters: dict[str, Parameter], description: str) -> str:
    """Every parameter with type, default and meaning, a group for each class."""
    width = shutil.get_terminal_size().columns
    lines = textwrap.wrap(f"usage: {Path(sys.argv[0]).name} [CONFIG.json] [--key value ...]", width)
    for paragraph in [*inspect.cleandoc(description).split("\n\n"), USAGE]:
        is_command = paragraph.startswith(" ")  # indented: to be copied, so its lines stay whole
        lines += ["", *(paragraph.splitlines() if is_command else textwrap.wrap(paragraph, width))]
    owner = None
    for parameter in parameters.values():
        if parameter.owner is not owner:
            owner = parameter.owner
            lines += ["", owner.__name__]
        lines += textwrap.wrap(
            f"--{parameter.name}  {kind_text(parameter)}; {default_text(parameter, 'default ')}",
            width,
            initial_indent="  ",
            subsequent_indent=" " * 10,
        )
        lines += textwrap.wrap(parameter.help, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def default_text(parameter: Parameter, before: str = "") -> str:
    return "required" if parameter.default is MISSING else f"{before}{show(parameter.default)}"


def kind_text(parameter: Parameter) -> str:
    kind = describe(parameter.hint)
    return kind if parameter.range is None else f"{kind}, {parameter.range}"


def markdown_table(parameters: dict[str, Parameter], owner: type) -> list[str]:
    """The parameters that a class declares, for the docs."""
    lines = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
    for parameter in parameters.values():
        if parameter.owner is owner:
            default = "required" if parameter.default is MISSING else f"`{show(parameter.default)}`"
            kind = kind_text(parameter).replace("|", "\\|")
            lines.append(f"| `{parameter.name}` | {kind} | {default} | {parameter.help} |")
    return lines


def render(settings: Settings, verbose: bool = False) -> str:
    """The screen before a run: what the user wrote, the defaults that were changed and why, and how many others there
    are, or all of them."""
    written = [name for name in settings.parameters if settings.is_written(name)]
    lines = ["settings", *_columns(settings, written)]
    if settings.changes:
        lines += ["changed defaults", *(f"  {line}" for line in settings.changes)]
    others = [name for name in settings.parameters if not settings.is_written(name)]
    if verbose:
        lines += ["defaults", *_columns(settings, others)]
    else:
        count = len(others) - len(settings.changed)
        lines.append(f"{count} other settings have their defaults: --verbose lists them")
    return "\n".join(lines)


def _columns(settings: Settings, names: list[str]) -> Iterator[str]:
    left = max(map(len, names), default=0)
    places = {name: Path(where(settings, name)).name for name in names}  # a file without its folder
    middle = max(map(len, places.values()), default=0)
    for name in names:
        yield f"  {name:<{left}}  {places[name]:<{middle}}  {show(settings[name], limit=10_000)}"


def where(settings: Settings, name: str) -> str:
    return settings.place.get(name, "changed default" if name in settings.changed else "default")


def save(settings: Settings, instances: tuple[Any, ...], path: str | Path) -> None:
    """Write every setting to `path`, itself a CONFIG.json that asks for the same again, and to NAME_origin.json where
    each came from and, if an instance changed it, to what."""
    path = Path(path)
    origins: dict[str, dict[str, Any]] = {name: {"origin": where(settings, name)} for name in settings.parameters}
    for instance in instances:
        for name in origins.keys() & {field.name for field in fields(instance)}:
            if (in_use := plain(getattr(instance, name, settings[name]))) != settings[name]:
                origins[name]["in_use"] = in_use
    write_json(path, settings.as_dict())
    write_json(
        path.with_name(f"{path.stem}_origin.json"),
        {"origin_of_settings": origins, "changed_defaults": settings.changes},
    )
