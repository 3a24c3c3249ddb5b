"""What was asked for: parameters with their types and places, defaults that changed, and problems noted."""

from __future__ import annotations

import inspect
import json
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_type_hints

from llm.core.settings.display import HIDDEN, is_secret
from llm.core.settings.values import (
    accept,
    check_default,
    check_kind,
    check_sound,
    interpret,
    narrow,
    plain,
    show,
)


class SettingsError(ValueError):
    """Every problem of the settings at once; `problems` has a line for each."""

    def __init__(self, problems: list[str]):
        self.problems = list(problems)
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n  ".join([f"the settings have {count}:", *self.problems]))


@dataclass(frozen=True)
class Parameter:
    """One key: a field of one of the classes, or of several that share its name."""

    name: str
    hint: Any  # the field's type, a Literal if its metadata have "choices", Optional if its default is None
    default: Any  # in its JSON form; MISSING when the user has to give it
    help: str
    owner: type  # the class that declares it
    documented: bool  # declared by one of the classes given, not inherited by it

    def accept(self, value: Any) -> Any:
        """The value as the dataclass wants it, from its JSON form; ValueError says why not and what to do."""
        try:
            check_sound(value)
            return accept(self.hint, value)
        except ValueError as error:
            remedy = "" if self.default is MISSING else f"; the default is {show(self.default)}"
            if isinstance(value, str | int | float):  # right but for its quotes?
                meant = interpret(self.hint, [value if isinstance(value, str) else json.dumps(value)])
                with suppress(ValueError):
                    check_sound(meant)
                    accept(self.hint, meant)
                    remedy = f"; write {show(meant)}"
            raise ValueError(f"{error}{remedy}") from None


class Settings:
    """What was asked for. `settings[name]` is a value in its JSON form (an Enum's value, a Path's text)."""

    def __init__(self, classes: tuple[type, ...], parameters: dict[str, Parameter]):
        self.classes = classes
        self.parameters = parameters
        self.values: dict[str, Any] = {}  # what the user wrote, nothing else
        self.origin = dict.fromkeys(parameters, "default")  # or "file" or "command line"
        self.place: dict[str, str] = {}  # of what the user wrote: "config.json:3" or "command line"
        self.changed: dict[str, Any] = {}  # the defaults that gave way
        self.gave_way: list[str] = []  # a line to print for each of them
        self.problems: list[str] = []

    def __getitem__(self, name: str) -> Any:
        default = self.parameters[name].default
        return self.values.get(name, self.changed.get(name, default))

    def give_way(self, name: str, value: Any, why: str) -> None:
        """Use `value` instead of a default, and note it; what the user wrote is refused, never changed."""
        before, value = self[name], plain(self.parameters[name].accept(plain(value)))
        if before == value:
            return
        if self.origin[name] == "default":
            self.changed[name] = value
            self.gave_way.append(f"{name}: {show(before)} -> {show(value)}: {why}")
        else:
            self.refuse(name, f"{why}; write {show(value)} or leave it out")

    def refuse(self, name: str, why: str) -> None:
        """Note a problem with a value (`why` also says what to do); `check` and `build` raise all of them."""
        self.problems.append(problem(self.place.get(name, "default"), name, show(self[name]), why))

    def check(self) -> None:
        """Raise the problems noted so far, if any."""
        if self.problems:
            raise SettingsError(self.problems)

    def build(self) -> tuple[Any, ...]:
        """An instance of each class, in their order; what a class has against its values is raised."""
        self.check()
        given = self.changed | self.values
        instances = []
        for cls in self.classes:
            names = [field.name for field in fields(cls) if field.init and field.name in given]
            values = {name: self.parameters[name].accept(given[name]) for name in names}
            try:
                instances.append(cls(**values))
            except (ValueError, AssertionError) as error:  # from a __post_init__ that checks combinations
                raise SettingsError([f"{cls.__name__}: {' '.join(str(error).split())}"]) from error
        return tuple(instances)


def collect(classes: tuple[type, ...]) -> dict[str, Parameter]:
    """The parameters of the classes: those they declare themselves in that order, then the inherited ones."""
    found: dict[str, Parameter] = {}
    for cls in classes:
        hints = get_type_hints(cls)
        for field in fields(cls):
            if not field.init:
                continue
            where = f"{cls.__name__}.{field.name}"
            default = plain(field.default if field.default_factory is MISSING else field.default_factory())
            hint = narrow(hints[field.name], [plain(choice) for choice in field.metadata.get("choices", ())])
            hint = hint | None if default is None else hint
            check_kind(hint, where)
            if default is not MISSING:
                check_default(hint, default, where)
            owner = next(base for base in cls.__mro__ if field.name in inspect.get_annotations(base))
            meaning = " ".join(str(field.metadata.get("help", "")).split())
            twin = found.get(field.name)
            if twin and (twin.hint, twin.default) != (hint, default):
                raise TypeError(f"{where} differs in type or default from the one of {twin.owner.__name__}")
            if twin is None or (owner is cls and not twin.documented):
                found[field.name] = Parameter(field.name, hint, default, meaning, owner, owner is cls)
    declared = [name for cls in classes for name in inspect.get_annotations(cls) if name in found]
    return {name: found[name] for name in dict.fromkeys([*declared, *found])}


def problem(place: str, name: str, text: str, why: str) -> str:
    key = name if name.isidentifier() else show(name)
    return f"{place}: {key} = {HIDDEN if is_secret(name) else text}: {why}"
