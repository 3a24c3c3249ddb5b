"""Any settings pass unchanged through a file, through saving and through the command line."""

import json
import string
from typing import Any  # noqa: UP035 - the trainer's classes use these forms

from hypothesis import HealthCheck, given, settings, strategies

from llm.core.settings.display import save
from llm.core.settings.settings import SettingsError
from tests.core.settings.toy_settings import read

TEXT = strategies.text(max_size=8).filter(lambda text: text != "None")
VALUES: dict[str, Any] = {
    "output_dir": TEXT,
    "max_steps": strategies.integers(),
    "learning_rate": strategies.floats(allow_nan=False, allow_infinity=False),
    "bf16": strategies.booleans(),
    "granularity": strategies.sampled_from(["full", "core_attn"]),
    "evaluation_strategy": strategies.sampled_from(["no", "steps", "epoch"]),
    "eval_steps": strategies.none() | strategies.integers(),
    "label_names": strategies.none() | strategies.lists(TEXT, max_size=3),
    "skip_intervals": strategies.none() | strategies.lists(strategies.lists(strategies.integers())),
    "logging_dir": strategies.none() | TEXT,
    "paths": TEXT | strategies.lists(TEXT, max_size=3),
    "sizes": strategies.lists(strategies.integers(), max_size=3),
    "level": strategies.sampled_from([1, 2, "auto"]),
    "extra": strategies.dictionaries(TEXT, TEXT | strategies.booleans() | strategies.none(), max_size=2),
}
ANY_SETTINGS = strategies.fixed_dictionaries({}, optional=VALUES)
MANY = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(ANY_SETTINGS, strategies.sampled_from([None, 1, "\t"]), strategies.booleans())
def test_any_settings_pass_through_the_file_and_through_saving(tmp_path_factory, values, indent, escaped):
    """Whatever a valid file holds is what the classes get, and what the saved settings give again."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "prm.json").write_text(json.dumps(values, indent=indent, ensure_ascii=escaped), "utf-8")
    got = read(str(folder / "prm.json"))
    assert got.values == values
    assert [type(got.values[name]) for name in values] == [type(value) for value in values.values()]
    save(got, (), folder / "out.json")
    again = read(str(folder / "out.json"))
    assert {name: again[name] for name in got.parameters} == {name: got[name] for name in got.parameters}


@MANY
@given(ANY_SETTINGS)
def test_any_settings_pass_through_the_command_line(values):
    """What JSON can say, a command line can say: texts as they are, the rest as JSON."""
    words = [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items()]
    ambiguous = {
        name
        for name, value in values.items()
        if isinstance(value, str)
        and (name == "logging_dir" and value == "null" or name == "paths" and value.lstrip()[:1] == "[")
    }
    got = read(*words)
    assert {name: got[name] for name in values.keys() - ambiguous} == {
        name: value for name, value in values.items() if name not in ambiguous
    }


@MANY
@given(strategies.text(alphabet=string.printable + "ки\ud800", max_size=40), strategies.booleans())
def test_any_rubbish_is_settings_or_a_settings_error(tmp_path_factory, text, as_file):
    """No input of a user ends in another exception."""
    path = tmp_path_factory.mktemp("rubbish") / "prm.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    argv = [str(path)] if as_file else text.split()
    try:
        read(*argv)
    except SettingsError as error:
        str(error).encode()
    except SystemExit:
        assert not as_file
