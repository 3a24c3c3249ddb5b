"""A JSON schema of the settings, from which editors complete and check a configuration while it is written."""

from __future__ import annotations

from dataclasses import MISSING
from pathlib import Path
from typing import Any

from llm.core.settings.ranges import Range
from llm.core.settings.settings import collect
from llm.core.settings.values import NoneType, choices_of, is_list, item_of, options

KINDS = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    Path: "string",
    dict: "object",
    NoneType: "null",
}


def json_schema(classes: tuple[type, ...], script: str) -> dict[str, Any]:
    parameters = collect(classes)
    properties = {"$schema": {"type": "string", "description": "This file, for editors; training ignores it."}}
    for name, parameter in parameters.items():
        described = {"description": parameter.help}
        if parameter.default is not MISSING:
            described["default"] = parameter.default
        properties[name] = of_kind(parameter.hint, parameter.range) | described
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Settings of {script}",
        "type": "object",
        "properties": properties,
        "required": [name for name, parameter in parameters.items() if parameter.default is MISSING],
        "additionalProperties": False,
    }


def of_kind(hint: Any, numbers: Range | None = None) -> dict[str, Any]:
    """A single value may stand for a list of it. Numbers of this kind are in the range."""
    kinds = [of_one_kind(kind, numbers) for kind in options(hint)]
    kinds += [of_kind(item_of(kind)) for kind in options(hint) if is_list(kind)]
    if numbers is not None and numbers.also is not None:
        kinds.append({"const": numbers.also})
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def of_one_kind(kind: Any, numbers: Range | None) -> dict[str, Any]:
    if is_list(kind):
        return {"type": "array", "items": of_kind(item_of(kind))}
    if choices := choices_of(kind):
        return {"enum": choices}
    limits = numbers.as_json_schema() if numbers is not None and kind in (int, float) else {}
    return {"type": KINDS[kind]} | limits if kind in KINDS else {}
