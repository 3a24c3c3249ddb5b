"""Ranges of numbers: what is in them, and that every reader of a setting says the same."""

from dataclasses import dataclass, field

import jsonschema
import pytest
from hypothesis import given, strategies

from llm.core.settings.display import help_text, markdown_table
from llm.core.settings.parse import parse
from llm.core.settings.ranges import Range
from llm.core.settings.schema import json_schema
from llm.core.settings.settings import SettingsError, collect

RANGES = [  # (range, its text, numbers in it, numbers outside it)
    (Range(1, 2**31 - 1), "from 1 to 2^31 - 1", [1, 2**31 - 1], [0, -1, 2**31]),
    (Range(1, 8, also=-1), "-1 or from 1 to 8", [-1, 1, 8], [0, -2, 9]),
    (Range(0, 1, above=True), "above 0, up to 1", [1e-300, 1], [0, -1e-300, 1.0000001]),
    (Range(0, 1, below=True), "from 0 to below 1", [0, 0.9999999], [1, -1e-300]),
    (Range(0, 1e6, above=True, below=True), "above 0, up to below 1000000", [1, 999_999.5], [0, 1e6]),
    (Range(1e-20, 1), "from 1e-20 to 1", [1e-20, 1], [0, 1e-300, 1e300]),
    (Range(1, 1), "1", [1], [0, 2]),
]


def of_range(numbers: Range, kind: type = float, default: float | None = None) -> type:
    @dataclass
    class Owner:
        number: kind | None = field(default=default, metadata={"help": "A number.", "range": numbers})

    return Owner


@pytest.mark.parametrize(("numbers", "text", "inside", "outside"), RANGES)
def test_what_is_in_a_range(numbers, text, inside, outside):
    assert str(numbers) == text
    assert all(number in numbers for number in inside) and not any(number in numbers for number in outside)


@given(strategies.sampled_from(RANGES), strategies.floats(-3, 10) | strategies.floats(allow_nan=False).filter(abs))
def test_the_schema_of_a_range_accepts_what_parsing_accepts(case, number):
    owner = of_range(case[0])
    settings = parse((owner,), [f"--number={number!r}"], "")
    is_finite = abs(number) != float("inf")
    valid = jsonschema.Draft202012Validator(json_schema((owner,), "run.py")).is_valid({"number": number}) and is_finite
    assert valid is not bool(settings.problems)


def test_null_is_no_number():
    settings = parse((of_range(Range(1, 2)),), ["--number=null"], "")
    assert settings["number"] is None and not settings.problems
    jsonschema.validate({"number": None}, json_schema((of_range(Range(1, 2)),), "run.py"))


def test_numbers_outside_are_reported_with_the_other_problems_and_nothing_more_is_said_of_them(tmp_path):
    file = tmp_path / "c.json"
    file.write_text('{"number": 0,\n "nubmer": 3}')
    settings = parse((of_range(Range(1, 8, why="eight fit"), int, 4),), [str(file)], "")
    assert settings["number"] == 4
    settings.refuse("number", "what does not fit it either")
    with pytest.raises(SettingsError) as error:
        settings.build()
    assert error.value.problems == [
        f"{file}:1: number = 0: must be from 1 to 8: eight fit; the default is 4",
        f"{file}:2: nubmer = 3: unknown setting; write number",
    ]


def test_help_and_reference_show_the_range(capsys):
    owner = of_range(Range(1, 8), int, 4)
    parameters = collect((owner,))
    assert "--number  integer or null, from 1 to 8; default 4" in help_text(parameters, "")
    assert markdown_table(parameters, owner)[-1] == "| `number` | integer or null, from 1 to 8 | `4` | A number. |"


def test_a_default_outside_the_range_is_the_programs_error():
    with pytest.raises(TypeError, match="its default 9 does not fit: must be from 1 to 8"):
        collect((of_range(Range(1, 8), int, 9),))


def test_a_changed_default_stays_in_the_range():
    settings = parse((of_range(Range(1, 8), int, 4),), [], "")
    with pytest.raises(ValueError, match="from 1 to 8"):
        settings.change_default("number", 9, "")
