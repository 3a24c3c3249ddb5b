"""Metrics against definitions written out the slow way."""

from __future__ import annotations

import json
from itertools import groupby

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm.alignment.rm.flashmask.reward_metrics import outcome_metrics, preference_metrics, step_metrics

# Coarse scores make ties and put many on the threshold and the bins' edges; fine ones are what a model gives.
SCORE = st.integers(0, 30).map(lambda k: k / 30) | st.floats(0.0, 1.0)
STEP = st.tuples(SCORE, st.sampled_from([0.0, 1.0, 0.3, 0.5, 0.75]), st.integers(0, 5))
KEYS = {
    "first_error_unknown",
    "accuracy",
    "balanced_accuracy",
    "accuracy_positive",
    "accuracy_negative",
    "error_precision",
    "error_recall",
    "error_f1",
    "auc",
    "first_error_accuracy",
    "ece",
    "positive_share",
    "steps",
    "solutions",
}


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else None


def slow_auc(steps):
    pairs = [(p, q) for p, y, _ in steps if y > 0.5 for q, z, _ in steps if z <= 0.5]
    return mean(1.0 if p > q else 0.5 if p == q else 0.0 for p, q in pairs)


def slow_first_error(steps):
    def first(flags):
        return flags.index(True) if True in flags else None

    solutions = [list(s) for _, s in groupby(sorted(steps, key=lambda s: s[2]), key=lambda s: s[2])]
    return mean(first([p <= 0.5 for p, _, _ in s]) == first([y <= 0.5 for _, y, _ in s]) for s in solutions)


def slow_ece(steps):
    if not steps:
        return None
    total = 0.0
    for k in range(15):
        inside = [(p, y) for p, y, _ in steps if min(int(p * 15), 14) == k]
        if inside:
            total += len(inside) / len(steps) * abs(mean(p for p, _ in inside) - mean(y for _, y in inside))
    return total


def slow_metrics(steps):
    hit = [(p > 0.5) == (y > 0.5) for p, y, _ in steps]
    by_label = {k: mean(h for h, (_, y, _) in zip(hit, steps, strict=True) if (y > 0.5) == k) for k in (0, 1)}
    precision, recall = mean(y <= 0.5 for p, y, _ in steps if p <= 0.5), by_label[0]
    if precision is None and recall is None:
        f1 = None
    else:
        f1 = 2 * precision * recall / (precision + recall) if precision and recall else 0.0
    return {
        "accuracy": mean(hit),
        "balanced_accuracy": None if None in by_label.values() else (by_label[0] + by_label[1]) / 2,
        "accuracy_positive": by_label[1],
        "accuracy_negative": by_label[0],
        "error_precision": precision,
        "error_recall": recall,
        "error_f1": f1,
        "auc": slow_auc(steps),
        "first_error_accuracy": slow_first_error(steps),
        "first_error_unknown": 0,
        "ece": slow_ece(steps),
        "positive_share": mean(y > 0.5 for _, y, _ in steps),
        "steps": len(steps),
        "solutions": len({g for _, _, g in steps}),
    }


def columns(steps):
    return [[s[k] for s in steps] for k in range(3)]


@settings(max_examples=80)
@given(st.lists(STEP, max_size=40))
@example([])
@example([(0.5, 0.0, 0)])
@example([(0.5, 1.0, 0), (1.0, 0.0, 0)])
def test_every_metric_equals_its_definition(steps):
    """Each number is what its definition gives, ties, interleaved solutions and undefined cases included."""
    got, expected = step_metrics(*columns(steps)), slow_metrics(steps)
    assert set(got) == set(expected) == KEYS
    for key, value in expected.items():
        assert (got[key] is None) == (value is None), key
        assert value is None or got[key] == pytest.approx(value, abs=1e-12), key


def test_a_worked_example():
    """Figures found by hand, so that a mistake shared with the slow definitions would show."""
    #            right solution   error found late         error found     nothing found
    p = [0.9, 0.8, 0.7, 0.9, 0.6, 0.2, 0.7, 0.5, 0.9, 0.55]
    y = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    got = step_metrics(p, y, [0, 0, 0, 7, 7, 7, 2, 2, 3, 3])
    assert got["accuracy"] == pytest.approx(8 / 10)
    assert (got["accuracy_positive"], got["accuracy_negative"]) == (1.0, 0.5)
    assert got["balanced_accuracy"] == pytest.approx(0.75)
    assert (got["error_precision"], got["error_recall"]) == (1.0, 0.5)
    assert got["error_f1"] == pytest.approx(2 / 3)
    assert got["auc"] == 1.0
    assert got["first_error_accuracy"] == pytest.approx(2 / 4)
    assert got["positive_share"] == pytest.approx(0.6)
    assert (got["steps"], got["solutions"]) == (10, 4)
    # bins: 0.2 | 0.5 | 0.55 | 0.6 | 0.7 0.7 | 0.8 | 0.9 0.9 0.9
    gaps = 0.2 + 0.5 + 0.55 + 0.6 + abs(1.4 - 2) + abs(0.8 - 1) + abs(2.7 - 3)
    assert got["ece"] == pytest.approx(gaps / 10)


@given(st.lists(STEP, max_size=20))
def test_results_are_plain_json_numbers(steps):
    """No NaN, no numpy scalar: the results go to JSON files and to the last line that a script prints."""
    p, y, g = columns(steps)
    got = step_metrics(np.array(p, np.float32), np.array(y, np.float32), np.array(g, np.int64))
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert {type(value) for value in got.values()} <= {float, int, type(None)}


def test_large_auc_is_exact():
    """Rank sums stay exact where a sum of float32 ranks would not."""
    n = 200_000
    p = np.tile(np.array([0.25, 0.75], np.float32), n)
    y = np.tile(np.array([0.0, 1.0]), n)
    assert step_metrics(p, y, np.arange(2 * n))["auc"] == 1.0
    assert step_metrics(np.full(2 * n, 0.5), y, np.arange(2 * n))["auc"] == 0.5


def test_a_rounding_error_outside_the_unit_interval_is_forgiven():
    """A float32 softmax may give 1 + 1e-7; it falls into the last bin instead of failing an evaluation."""
    assert step_metrics([1 + 1e-7, -1e-7], [1, 0], [0, 0])["ece"] == 0.0


@pytest.mark.parametrize("score", [float("nan"), 1.5, -0.1, float("inf")])
def test_a_score_that_is_no_probability_is_refused(score):
    """A diverged model or a logit passed for a probability must not become a plausible number."""
    with pytest.raises(ValueError, match="1 of 2 scores are not probabilities.*at index 1"):
        step_metrics([0.5, score], [1, 0], [0, 0])


def test_labels_outside_the_unit_interval_and_unequal_lengths_are_refused():
    """A shifted array would compare the wrong steps; both problems at once."""
    with pytest.raises(ValueError, match="2 of 2 scores .* 1 of 2 labels .* 1.3 at index 0"):
        step_metrics([7, 8], [1.3, 1], [0, 0])
    with pytest.raises(ValueError, match="labels .* nan at index 1"):
        step_metrics([0, 1], [1, float("nan")], [0, 0])
    with pytest.raises(ValueError, match=r"\(2,\), \(1,\) and \(2,\)"):
        step_metrics([0.5, 0.5], [1], [0, 0])
    with pytest.raises(ValueError, match=r"\(1, 2\)"):
        step_metrics([[0.5, 0.5]], [[1, 0]], [[0, 0]])


@given(st.lists(STEP, max_size=20))
def test_outcomes_are_judged_as_steps_are_and_by_finding_the_right_answers(steps):
    p, y, _ = columns(steps)
    got, expected = outcome_metrics(p, y), slow_metrics(steps)
    found = [y > 0.5 for p, y, _ in steps if p > 0.5]
    assert got["precision"] == mean(found) and got["recall"] == got["accuracy_positive"]
    if got["precision"] and got["recall"]:
        assert got["f1"] == pytest.approx(2 / (1 / got["precision"] + 1 / got["recall"]))
    assert got["answers"] == len(steps) and "first_error_accuracy" not in got and "steps" not in got
    for name in ("accuracy", "balanced_accuracy", "auc", "ece", "error_f1"):
        assert got[name] == pytest.approx(expected[name], abs=1e-12)


def test_preferences_by_hand():
    """A tie is no hit: the reward does not tell the answers apart."""
    got = preference_metrics([2.0, 1.0, 0.0, -1.0], [1.0, 1.0, 3.0, -3.0])
    assert got == pytest.approx(
        {
            "accuracy": 0.5,
            "ties": 0.25,
            "margin_mean": 0.0,
            "pairs": 4,
            "chosen_reward_mean": 0.5,
            "chosen_reward_std": 1.25**0.5,
            "chosen_reward_min": -1,
            "chosen_reward_max": 2,
            "rejected_reward_mean": 0.5,
            "rejected_reward_std": 4.75**0.5,
            "rejected_reward_min": -3,
            "rejected_reward_max": 3,
        }
    )
    assert preference_metrics([], [])["accuracy"] is None
    with pytest.raises(ValueError, match="1 of 2 pairs have a reward that is NaN or infinite"):
        preference_metrics([1.0, float("nan")], [0.0, 0.0])
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        preference_metrics([1.0, 2.0], [0.0])


def test_a_solution_whose_first_error_was_cut_away_is_left_out_and_counted():
    """An always-"+" scorer meets it only where nothing was cut away."""
    p, y, solutions = [0.9, 0.9, 0.9, 0.9], [1, 1, 1, 0], [0, 0, 1, 2]
    whole = step_metrics(p, y, solutions)
    assert (whole["first_error_accuracy"], whole["first_error_unknown"]) == (2 / 3, 0)
    cut = step_metrics(p, y, solutions, error_cut=[False, False, True, False])
    assert (cut["first_error_accuracy"], cut["first_error_unknown"]) == (1 / 2, 1)
    assert cut["accuracy"] == whole["accuracy"] and cut["solutions"] == 3
    none = step_metrics(p[:1], y[:1], [0], error_cut=[True])
    assert none["first_error_accuracy"] is None


def test_the_same_text_ties_with_itself_whatever_the_rounding():
    p, y = np.array([0.7, 0.7 + 1e-7, 0.2]), [1, 0, 0]
    assert step_metrics(p, y, [0, 1, 2])["auc"] == 0.5
    assert step_metrics(p, y, [0, 1, 2], texts=[5, 5, 6])["auc"] == 0.75
    assert step_metrics(p[[1, 0, 2]], y, [0, 1, 2], texts=[5, 5, 6])["auc"] == 0.75
    assert outcome_metrics(p, y, texts=[5, 5, 6])["auc"] == 0.75
