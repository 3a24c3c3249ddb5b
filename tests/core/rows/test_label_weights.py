"""Smoothing and class weights of labels, against the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.core.rows.label_weights import balancing_weight, weigh_labels, weigh_solutions
from llm.core.rows.prefix_tree import lone_tree
from llm.core.rows.row import make_row
from llm.core.text.encoding import Sequence

LABELS = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=6)
quick = settings(max_examples=40)


def row_of(labels, weight=1.0):
    count = len(labels)
    sequence = Sequence(np.arange(count), np.arange(count), np.array(labels, "float32"), weight=weight)
    return make_row([lone_tree(sequence)])


@quick
@given(LABELS, st.floats(0, 0.9), st.floats(0.1, 10), st.floats(0.01, 0.99), st.sampled_from([1.0, 2.5]))
def test_the_loss_of_a_weighed_label_is_the_formula(labels, smoothing, positive_weight, p, weight):
    row = weigh_labels(row_of(labels, weight), smoothing, positive_weight)
    got = row.payload.weights * -(row.payload.targets * np.log(p) + (1 - row.payload.targets) * np.log(1 - p))
    smooth = (1 - smoothing) * np.array(labels) + smoothing * 0.5
    wanted = weight * -(positive_weight * smooth * np.log(p) + (1 - smooth) * np.log(1 - p))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)
    assert row.payload.labels.tolist() == row_of(labels).payload.labels.tolist()  # metrics know the labels of the data


def test_nothing_changes_without_smoothing_and_weight():
    before = row_of([1, 0, 0.25], weight=2.0)
    after = weigh_labels(before, 0.0, 1.0)
    assert after.payload.targets.tolist() == before.payload.targets.tolist()
    assert after.payload.weights.tolist() == before.payload.weights.tolist() == [2, 2, 2]


@quick
@given(LABELS.filter(lambda labels: 0.01 < sum(labels) < len(labels) - 0.01), st.sampled_from([0.0, 0.3]))
def test_balanced_labels_count_alike(labels, smoothing):
    weight = balancing_weight(sum(labels), len(labels), smoothing)
    row = weigh_labels(row_of(labels), smoothing, weight)
    assert (row.payload.weights * row.payload.targets).sum() == pytest.approx(
        (row.payload.weights * (1 - row.payload.targets)).sum(), rel=1e-4
    )


@pytest.mark.parametrize("positive, every", [(0.0, "negative"), (7.0, "positive")])
def test_labels_of_one_kind_cannot_be_balanced(positive, every):
    with pytest.raises(ValueError, match=f"balance_labels: every label of the training data is {every}"):
        balancing_weight(positive, 7.0, 0.1)


def test_a_solution_that_is_ranked_counts_its_weight_however_many_labels_it_has():
    long, short = (row_of([1.0] * count, weight) for count, weight in ((4, 2.5), (1, 1.0)))
    np.testing.assert_allclose(weigh_solutions(long).payload.weights, [0.625] * 4)
    assert (weigh_solutions(long).weight, weigh_solutions(short).weight) == (2.5, 1.0)
