"""Sums and seconds of training, over restarts too."""

from llm.core.train.tally import Tally


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
