"""Percentiles and bars of whole numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llm.data.check.histogram import MOST_BARS, Histogram

VALUES = st.lists(st.integers(0, 500), min_size=1, max_size=80)


def of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(VALUES, st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values, percent):
    found = of(values).percentile(percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


@given(VALUES)
def test_bars_hold_every_value_once(values):
    bars = of(values).bars()
    assert len(bars) <= MOST_BARS and sum(count for _, count, _ in bars) == len(values)
    for label, count, _ in bars:
        first, _, last = label.partition(" to ")
        assert count == sum(int(first) <= value <= int(last or first) for value in values)


def test_of_nothing_there_is_nothing_to_say():
    assert of([]).bars() == [] and of([]).facts() == {} and of([]).line() == ""
