"""Sums and seconds of a training: over ranks, over lines of the log, and over a restart."""

import pytest

from llm.core.train import tally as module
from llm.core.train.tally import SKIPPED, STEPS, Tally


@pytest.fixture
def ranks(monkeypatch):
    """ranks(of the others): the sum over all ranks adds these to what this one has."""

    def of_others(values: list[float]) -> None:
        monkeypatch.setattr(module, "sum_over_ranks", lambda mine: [a + b for a, b in zip(mine, values, strict=True)])

    return of_others


def test_a_line_has_what_came_since_the_last_one_and_the_total_has_all():
    tally = Tally(["loss", "hits"])
    for loss in (1.0, 2.0):
        tally.count(STEPS)
        tally.add({"loss": loss, "hits": 3})
    first, _ = tally.close_line()
    tally.count(SKIPPED)
    tally.add({"loss": 4.0})
    second, _ = tally.close_line()
    assert first == {STEPS: 2, SKIPPED: 0, "loss": 3.0, "hits": 6}
    assert second == {STEPS: 0, SKIPPED: 1, "loss": 4.0, "hits": 0}
    assert tally.total == {STEPS: 2, SKIPPED: 1, "loss": 7.0, "hits": 6}
    assert tally.updates() == 2


def test_what_all_ranks_count_alike_is_not_summed_and_copies_count_once(ranks):
    """Two ranks of tensor parallelism have the same data as this one and its peer."""
    tally = Tally(["loss"], copies=2)
    tally.count(STEPS)
    tally.add({"loss": 3.0})
    ranks([3.0 + 5.0 + 5.0])
    assert tally.over_ranks() == {STEPS: 1, SKIPPED: 0, "loss": 8.0}
    assert tally.recent["loss"] == 3.0  # of this rank, still


def test_ranks_restored_from_a_checkpoint_have_the_sums_from_before_once_among_them(ranks):
    before = Tally(["loss"])
    before.count(STEPS)
    before.add({"loss": 1.0})
    before.close_line()
    before.count(STEPS)
    before.add({"loss": 5.0})
    state = before.state()
    first, second = Tally(["loss"]), Tally(["loss"], carries_on=False)
    for tally in (first, second):
        tally.restore(state)
        assert tally.total == {STEPS: 1, SKIPPED: 0, "loss": 1.0} and tally.updates() == 2
        assert tally.seconds == before.seconds
    ranks([second.recent["loss"]])
    assert first.over_ranks() == {STEPS: 1, SKIPPED: 0, "loss": 5.0}


def test_a_statistic_without_a_name_is_an_error():
    with pytest.raises(KeyError):
        Tally(["loss"]).add({"hits": 1.0})


def test_a_checkpoint_between_two_lines_keeps_the_time_since_the_last_one(monkeypatch):
    """Otherwise a resumed run's first line would count its updates in no time."""
    now = [100.0]
    monkeypatch.setattr("llm.core.train.tally.time.perf_counter", lambda: now[0])
    before, after = Tally(["loss"]), Tally(["loss"])
    before.start_clock()
    now[0] += 5.0
    state = before.state()
    now[0] += 1000.0  # the run is started again later
    after.restore(state)
    after.start_clock()
    now[0] += 1.0
    assert after.close_line()[1] == 6.0
    now[0] += 2.0
    assert after.close_line()[1] == 2.0 and after.seconds == 8.0
