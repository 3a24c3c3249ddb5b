"""A settings file of any content is refused in a message that a screen holds."""

import json
from dataclasses import dataclass

import pytest

from llm.core.settings.parse import MOST_BYTES, parse
from llm.core.settings.settings import MOST_SHOWN, SettingsError


@dataclass
class Few:
    learning_rate: float = 1e-6
    seed: int = 42


def problems_of(folder, content: str) -> tuple[list[str], str]:
    """All of them, and the text that is shown."""
    file = folder / "settings.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError) as error:
        parse((Few,), [str(file)], "").build()
    return error.value.problems, str(error.value)


def test_of_thousands_of_problems_the_first_are_shown_and_the_others_counted(tmp_path):
    unknown = {f"learning_rate{number}": number for number in range(20_000)}
    problems, shown = problems_of(tmp_path, json.dumps(unknown))
    assert len(problems) == 20_000 and len(shown.splitlines()) == MOST_SHOWN + 2
    assert shown.splitlines()[1].endswith("learning_rate0 = 0: unknown setting; write learning_rate")
    assert shown.splitlines()[-1].strip() == f"and {20_000 - MOST_SHOWN:,} more"
    problems, shown = problems_of(tmp_path, json.dumps(dict(list(unknown.items())[:MOST_SHOWN])))
    assert problems == [line.strip() for line in shown.splitlines()[1:]]


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ('{"seed\u200b": 1}', '"seed\\u200b" = 1: unknown setting; write seed'),
        ('{"\u202eseed": 1}', '"\\u202eseed" = 1: unknown setting; write seed'),
        ('{"\\ud800": 1}', '"\\ud800" = 1: unknown setting'),
        ('{"' + "s" * 1_000_000 + '": 1}', "unknown setting"),
        ('{"seed": "' + "s" * 1_000_000 + '"}', "expected integer"),
        ('{"seed": ' + "9" * 1_000_000 + "}", "expected a finite number"),
        ('{"seed": ' + "[" * 1_500_000, "nested too deeply"),
        ('{"seed": {' + ",".join(f'"{number % 20_000}": 1' for number in range(40_000)) + "}}", '"0" is given twice'),
        (" " * MOST_BYTES + "{}", "this is another file"),
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_one_problem_fits_on_a_few_lines(tmp_path, content, shown):
    (problem,), _ = problems_of(tmp_path, content)
    assert shown in problem and problem.isprintable() and len(problem) < 600
