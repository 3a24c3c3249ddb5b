"""The sweep in small: what make test-faults does to thousands of files, done to a few, and that it notices what it is
for."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults import forms, mutations
from tests.faults.outcomes import BAD, HANG, SILENT, TRACEBACK, WRONG_MESSAGE
from tests.faults.readers import READERS

pytestmark = pytest.mark.runs

COUNT = 20
NOT_YET = ("chat templates", "states of a checkpoint")


@pytest.fixture(scope="session")
def base(made_once):
    return made_once("faults", lambda folder: forms.make(folder, ("full", "LoRA", ".pdparams")))


@pytest.mark.parametrize("reader", [name for name in READERS if name not in NOT_YET])
def test_a_changed_file_is_read_or_refused_in_plain_words(base, reader):
    row = mutations.sweep(base, reader, seed=1, numbers=range(COUNT))
    assert row.outcomes.total() == COUNT
    assert not row.bad, "\n".join(row.examples)


@pytest.mark.parametrize(
    ("reader", "outcome"),
    [
        ("hang", HANG),
        ("end", TRACEBACK),
        ("traceback", TRACEBACK),
        ("silent", SILENT),
        ("wrong message", WRONG_MESSAGE),
    ],
)
def test_the_sweep_notices(tmp_path, reader, outcome):
    row = mutations.sweep(tmp_path, reader, 1, range(2), "tests.faults.broken_readers", seconds=1)
    assert row.outcomes == Counter({outcome: 2}) and outcome in BAD
    assert len(row.examples) == 2
