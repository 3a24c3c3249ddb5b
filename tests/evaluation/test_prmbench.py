"""PRMBench's figures against the totals that are known of the published set, and against scikit-learn's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from llm.core.paths import REPOSITORY
from llm.core.records.json_stream import no_progress
from llm.evaluation import prmbench
from llm.scoring.scores import Scores

ALL_VALID, ALL_INVALID = 0.457195, 0.136231  # PRMScore of all steps of the published set
SAMPLE = REPOSITORY.parent / "shared/samples/prmbench/circular.jsonl"


def test_both_totals_of_the_published_set_follow_from_one_share_of_wrong_steps():
    """All valid: F1 2V / (2V + W) and negative F1 0; all invalid: F1 0 and negative F1 2W / (2W + V). The first total
    gives the share of wrong steps, about 15.77 %, and with it the second one must come out."""
    steps = 10_000_000
    wrong = round(steps * (2 - 4 * ALL_VALID) / (2 - 2 * ALL_VALID))
    assert wrong / steps == pytest.approx(0.1577, abs=1e-4)
    all_valid = prmbench.figures(Counter(TP=steps - wrong, FP=wrong))
    all_invalid = prmbench.figures(Counter(FN=steps - wrong, TN=wrong))
    assert all_valid["prm_score"] == pytest.approx(ALL_VALID, abs=1e-6)
    assert all_invalid["prm_score"] == pytest.approx(ALL_INVALID, abs=2e-6)


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the samples are not here")
@pytest.mark.parametrize("seed", range(3))
def test_a_published_class_is_scored_as_scikit_learn_scores_it(seed):
    from sklearn.metrics import f1_score

    items = prmbench.read([SAMPLE], no_progress)
    random = np.random.default_rng(seed)
    judged = [(item, [Scores(random.normal(1, 1, len(item.truth)))]) for item in items]
    valid = np.array([not is_wrong for item in items for is_wrong in item.truth])
    said = np.array([p > 0.5 for _, (scores,) in judged for p in scores.steps])
    found = prmbench.evaluate(judged, 0.5).metrics["overall"]
    both = f1_score(valid, said), f1_score(~valid, ~said)
    assert (found["f1"], found["negative_f1"]) == pytest.approx(both)
    assert found["prm_score"] == pytest.approx(sum(both) / 2) and found["steps"] == len(valid) > 800
