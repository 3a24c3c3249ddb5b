"""The benchmark of packing many solutions: what is simulated, and the measurement for real."""

import json

import numpy as np
import pytest

from llm.benchmark import run_benchmark
from llm.benchmark.forests.forests_run import simulated


def test_solutions_to_a_question_begin_with_it_and_some_with_the_same_step():
    solutions = list(simulated(20))
    assert len(solutions) == 20
    common = [
        int((one.ids[:80] != other.ids[:80]).argmax()) for one, other in zip(solutions, solutions[1:], strict=False)
    ]
    assert 78 <= common[0] < 80 or (solutions[0].ids[:78] == solutions[1].ids[:78]).all()
    assert 60 <= common[1] < 70 and common[7] < 5  # the next solution; the next question
    assert all(len(one.ids) == one.scored[-1] + 1 and len(one.scored) == len(one.labels) for one in solutions)
    assert np.unique([len(one.scored) for one in solutions]).size > 2


@pytest.mark.runs
def test_every_number_is_measured(capsys):
    run_benchmark.main(["forests", "--solutions", "100,400"])
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert [row["solutions"] for row in rows] == [100, 400]
    assert all(1.5 < row["shared"] < 3 and row["seconds"] > 0 and row["disk"] > 500 for row in rows)
