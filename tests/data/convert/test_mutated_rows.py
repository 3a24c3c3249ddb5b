"""Rows with parts of them replaced at random: every one becomes records that training takes, or is counted."""

from __future__ import annotations

import copy
import json
import math
import random
from pathlib import Path

import pytest

from llm.core.records.fields import label_values
from llm.core.records.reward_records import parse_preference, parse_record
from llm.data.convert.form import Options
from llm.data.convert.registry import FORMATS, WRITABLE
from llm.data.convert.work import Job, convert_files
from llm.data.output import new_file
from tests.data.convert.rows import KI, ROWS, TOKEN

MUTATIONS = 600  # of each format
VALUES = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e300, -(10**30), math.inf, math.nan),
    *("", " ", "x", "+", "-", "1", "nan", KI, TOKEN, "Step 1:", "\ud800", "\0", "[", '["a", 1]', "[[]]", "[1, 0]"),
    *([], [None], [[]], ["a"], ["a", "a"], [1, 0], {}, {"text": "a"}, {"role": "user", "content": "a"}),
    *([{"role": "assistant", "content": "+"}], [{"role": []}], {"steps": [{}]}, {"children": [{}]}),
)


def places(value: object) -> list[tuple]:
    """Where the parts of a value are: (the list or object, the key)."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


def mutated(row: dict, rng: random.Random) -> object:
    row = copy.deepcopy(row)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not (found := places(row)):
            break
        inside, key = rng.choice(found)
        kind = rng.random()
        if kind < 0.15:
            del inside[key]
        elif kind < 0.3 and isinstance(inside, list):
            inside.insert(key, copy.deepcopy(rng.choice(inside)))
        elif kind < 0.4 and isinstance(inside[key], str):
            cut = rng.randrange(len(inside[key]) + 1)
            inside[key] = inside[key][:cut] + rng.choice(("", " ", KI, TOKEN, "+", "\n")) + inside[key][cut:]
        else:
            inside[key] = copy.deepcopy(rng.choice(VALUES))
    return row


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mutated")


WRITTEN = [(name, target) for name in ("columns", "records", "trl") for target in WRITABLE]


@pytest.mark.slow
@pytest.mark.parametrize("name, target", [*((name, None) for name in ROWS), *WRITTEN])
def test_mutated_rows_are_converted_or_counted(folder, name, target):
    rng = random.Random(f"{name} {target}")
    count = MUTATIONS if target is None else MUTATIONS // 4
    source, output, rejects = (folder / f"{kind}-{name}-{target}.jsonl" for kind in ("in", "out", "bad"))
    with open(source, "w", encoding="utf-8") as file:
        for _ in range(count):
            file.write(json.dumps(mutated(ROWS[name], rng)) + "\n")
    form = FORMATS[name]
    chosen = {"threshold": 0.5, "neutral": "soft", "margins": True, "repeat_labels": True, "step_separator": "\n"}
    options = Options(**{key: value for key, value in chosen.items() if key in form.obeys and rng.random() < 0.5})
    with new_file(output) as written, new_file(rejects) as bad:
        counts = convert_files([source], Job(form, options, {}, FORMATS.get(target), True), written, bad)
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert counts.rows == count and not counts.broken
    assert counts.bad.total() == len(rejects.read_text(encoding="utf-8").splitlines())
    gave = counts.rows - counts.dropped.total() - counts.bad.total()
    assert 0 < gave <= count and counts.written == len(lines)
    if target is None:
        assert gave <= counts.written or form.grouped_by
        for line in lines:
            if "responses" in line:
                assert not isinstance(parse_record(line, "", label_values(("+", "-"))), list)
            elif "response" in line:
                assert not isinstance(parse_preference(line, ""), list)
            else:
                assert all(isinstance(turn, str) for turn in line["src"] + line["tgt"])
    else:
        assert all(FORMATS[target].fits(line) for line in lines)
