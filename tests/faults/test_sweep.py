"""The sweep in small: what make test-faults does to thousands of files, done to a few, and that it notices what it is
for."""

from __future__ import annotations

import socket
from collections import Counter

import pytest

from tests.faults import damage, forms, kills, mutations
from tests.faults.outcomes import BAD, HANG, SILENT, TRACEBACK, WRONG_MESSAGE
from tests.faults.readers import READERS

pytestmark = pytest.mark.runs

COUNT = 20


@pytest.fixture(scope="session")
def base(made_once):
    return made_once("faults", lambda folder: forms.make(folder, ("full", "LoRA", ".pdparams")))


@pytest.mark.parametrize("reader", READERS)
def test_a_changed_file_is_read_or_refused_in_plain_words(base, tmp_path, monkeypatch, reader):
    """In this process, which costs less than another one."""
    monkeypatch.setattr(socket.socket, "connect", mutations.no_network)
    monkeypatch.setattr(socket, "getaddrinfo", mutations.no_network)
    outcome_of = mutations.reading(tmp_path, base, reader, 1, mutations.READERS)
    for number in range(COUNT):
        outcome, what = outcome_of(number)
        assert outcome not in BAD, f"{number}, {outcome}: {what}"


def test_a_run_that_is_killed_goes_on(base, tmp_path):
    row = kills.sweep(base / "tiny", tmp_path, "saves, full", every=50)
    assert row.outcomes.total() >= 4
    assert not row.bad, "\n".join(row.examples)


def test_a_second_run_that_is_killed_leaves_one_of_the_two_models(base, tmp_path):
    row = kills.sweep_replacement(base / "tiny", tmp_path, every=50)
    assert row.outcomes.total() >= 4
    assert not row.bad, "\n".join(row.examples)


@pytest.mark.parametrize("command", ["resuming full", "score, LoRA"])
def test_a_damaged_file_is_noticed(base, tmp_path, command):
    rows = damage.sweep(base / "tiny", tmp_path, command, seed=1, every=9)
    assert len(rows) == 3 and all(row.outcomes.total() > 1 for row in rows)
    assert not any(row.bad for row in rows), "\n".join(example for row in rows for example in row.examples)


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
