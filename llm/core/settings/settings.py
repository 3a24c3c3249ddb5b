"""What was asked for: parameters with their types, where each value came from, defaults that changed, problems."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_type_hints

from llm.core.settings.ranges import Range
from llm.core.settings.values import accept, check_kind, check_sound, interpret, narrow, plain, show

MOST_SHOWN = 100  # problems; no run has more settings
LONGEST_NAME = 60  # that is shown whole
HIDDEN = "(hidden)"  # what is shown of a key to somebody's account; it is not saved either


class SettingsError(ValueError):
    """Every problem of the settings at once; `problems` has a line for each, the text the first MOST_SHOWN of them."""

    def __init__(self, problems: list[str]):
        self.problems = list(problems)
        count = "a problem" if len(problems) == 1 else f"{len(problems):,} problems"
        more = [f"and {len(problems) - MOST_SHOWN:,} more"] if len(problems) > MOST_SHOWN else []
        super().__init__("\n  ".join([f"the settings have {count}:", *self.problems[:MOST_SHOWN], *more]))


@dataclass(frozen=True)
class Parameter:
    """One key: a field of one of the classes, or of several that share its name."""

    name: str
    hint: Any  # the field's type, a Literal if its metadata have "choices", Optional if its default is None
    default: Any  # in its JSON form; MISSING when the user has to give it
    help: str
    owner: type  # the class that declares it
    range: Range | None = None  # of numbers

    def accept(self, value: Any) -> Any:
        """The value as the dataclass wants it, from its JSON form; ValueError says why not and what to do."""
        try:
            return self._fitting(value)
        except ValueError as error:
            remedy = "" if self.default is MISSING else f"; the default is {show(self.default)}"
            if isinstance(value, str | int | float):  # right but for its quotes?
                meant = interpret(self.hint, [value if isinstance(value, str) else json.dumps(value)])
                with suppress(ValueError):
                    self._fitting(meant)
                    remedy = f"; write {show(meant)}"
            raise ValueError(f"{error}{remedy}") from None

    def _fitting(self, value: Any) -> Any:
        check_sound(value)
        fitting = accept(self.hint, value)
        if self.range is not None and fitting is not None:
            self.range.check(fitting)
        return fitting


class Settings:
    """What was asked for, until everything is resolved and `build` makes typed instances of it. `settings[name]` is a
    value in its JSON form (an Enum's value, a Path's text)."""

    def __init__(self, classes: tuple[type, ...], parameters: dict[str, Parameter]):
        self.classes = classes
        self.parameters = parameters
        self.values: dict[str, Any] = {}  # what the user wrote, nothing else
        self.origin = dict.fromkeys(parameters, "default")  # or "file" or "command line"
        self.place: dict[str, str] = {}  # of what the user wrote: "config.json:3" or "command line"
        self.changed: dict[str, Any] = {}  # the defaults that cannot hold, with what is used instead
        self.changes: list[str] = []  # a line to print for each of them
        self.problems: list[str] = []
        self.misread: set[str] = set()  # keys whose values could not be read: nothing else is said of them

    def __getitem__(self, name: str) -> Any:
        default = self.parameters[name].default
        return self.values.get(name, self.changed.get(name, default))

    def __contains__(self, name: str) -> bool:
        return name in self.parameters

    def as_dict(self) -> dict[str, Any]:
        return {name: self[name] for name in self.parameters}

    def is_written(self, name: str) -> bool:
        return self.origin[name] != "default"

    def change_default(self, name: str, value: Any, why: str) -> None:
        """Use `value` instead of a default, and note it; what the user wrote is refused, never changed."""
        before, value = self[name], plain(self.parameters[name].accept(plain(value)))
        if before == value:
            return
        if self.is_written(name):
            self.refuse(name, f"{why}; write {show(value)} or leave it out")
        else:
            self.changed[name] = value
            self.changes.append(f"{name}: {show(before)} -> {show(value)}: {why}")

    def refuse(self, name: str, why: str) -> None:
        """Note a problem with a value (`why` also says what to do); `check` and `build` raise all of them."""
        if name not in self.misread:
            self.problems.append(problem(self.place.get(name, "default"), name, show(self[name]), why))

    def check(self) -> None:
        """Raise the problems noted so far, if any."""
        if self.problems:
            raise SettingsError(self.problems)

    def build(self) -> tuple[Any, ...]:
        """An instance of each class, in their order."""
        self.check()
        given = self.changed | self.values
        instances = []
        for cls in self.classes:
            names = [field.name for field in fields(cls) if field.name in given]
            instances.append(cls(**{name: self.parameters[name].accept(given[name]) for name in names}))
        return tuple(instances)


def collect(classes: tuple[type, ...]) -> dict[str, Parameter]:
    """The parameters of the classes, in their order."""
    found: dict[str, Parameter] = {}
    for cls in classes:
        hints = get_type_hints(cls)
        for field in fields(cls):
            where = f"{cls.__name__}.{field.name}"
            default = plain(field.default if field.default_factory is MISSING else field.default_factory())
            hint = narrow(hints[field.name], [plain(choice) for choice in field.metadata.get("choices", ())])
            hint = hint | None if default is None else hint
            check_kind(hint, where)
            meaning = " ".join(str(field.metadata.get("help", "")).split())
            parameter = Parameter(field.name, hint, default, meaning, cls, field.metadata.get("range"))
            if default is not MISSING:
                check_default(parameter, where)
            twin = found.setdefault(field.name, parameter)
            if (twin.hint, twin.default, twin.range) != (hint, default, parameter.range):
                raise TypeError(f"{where} differs in type, default or range from the one of {twin.owner.__name__}")
    return found


def check_default(parameter: Parameter, where: str) -> None:
    """A default has to be one that a user could write, or saved settings could not be read back."""
    try:
        parameter.accept(parameter.default)
    except ValueError as error:
        raise TypeError(f"{where}: its default {parameter.default!r} does not fit: {error}") from error


def is_secret(name: str) -> bool:
    return name.endswith("_api_key")


def problem(place: str, name: str, text: str, why: str) -> str:
    key = name if len(name) <= LONGEST_NAME and name.isascii() and name.isidentifier() else show(name)
    return f"{place}: {key} = {HIDDEN if is_secret(name) else text}: {why}"
