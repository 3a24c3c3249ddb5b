"""The comparison of scoring: the made-up candidates, both sides' figures, and this project's side for real."""

import json
import os
import sys

import numpy as np
import pytest

from llm.benchmark import children, run_benchmark
from llm.benchmark.arguments import parse
from llm.benchmark.scoring import scoring

PEER_PYTHON = os.environ.get("LLM_PEER_PYTHON")
OPTIONS = (
    "--candidates 6 --rounds 2 --seconds 0.01 --vocab_size 640 --hidden_size 32 --intermediate_size 48 "
    "--num_hidden_layers 2 --num_attention_heads 2 --threads 1 --max_seq_len 1024"
).split()


def test_candidates_share_their_question_and_in_pairs_half_of_their_steps():
    solutions = scoring.candidates(4, 640)
    texts = [np.array(ids) for ids, _, _ in solutions]
    common = [int((one != other).argmax()) for one, other in ((texts[0], texts[1]), (texts[2], texts[3]))]
    assert all(420 <= count < 425 for count in common)  # a further token may be the same by chance
    assert 300 <= int((texts[1] != texts[2]).argmax()) < 305
    assert all(len(ids) == 540 and scored[-1] == 539 and prompt == 300 for ids, scored, prompt in solutions)


def test_ratios_are_to_the_best_round_of_each(monkeypatch, capsys, tmp_path):
    seconds = {scoring.OURS: 2.0, **dict(zip(scoring.VARIANTS, (20.0, 10.0, 8.0, 6.0), strict=True))}
    calls: list = []

    def run(command, job, environment):
        name = scoring.OURS
        if command != scoring.CHILD:
            wanted = {"dtype": job["dtype"], "by_length": job["by_length"]}
            name = next(variant for variant, settings in scoring.VARIANTS.items() if settings == wanted)
        calls.append(name)
        slower = 3.0 if len(calls) <= 5 else 1.0
        scores = [[0.5 + (name != scoring.OURS) * 1e-6]] * 6
        run = {"computed": 900, "first_seconds": 1.0, "peak_bytes": 3_000_000}
        return {**run, "seconds": seconds[name] * slower, "log_odds": scores}

    monkeypatch.setattr(children, "run", run)
    run_benchmark.main(["scoring", *OPTIONS, "--peer_python", sys.executable, "--goal", "3"])
    shown = capsys.readouterr().out
    outcome = json.loads(shown.splitlines()[-1])
    assert outcome["ratio_to_fastest"] == 3.0 and "goal: 3 times" in shown
    assert outcome["scorers"]["transformers, float32"]["ratio"] == 10.0
    assert outcome["largest_difference"] == pytest.approx(1e-6)


@pytest.mark.parametrize("flags", [[], ["DATA", "--candidates", "3"]])
def test_data_or_candidates_are_given(flags, capsys):
    with pytest.raises(SystemExit):
        parse("scoring", [*flags, "--peer_python", sys.executable])
    assert "one of the two" in capsys.readouterr().err


@pytest.mark.runs
@pytest.mark.skipif(PEER_PYTHON is None, reason="LLM_PEER_PYTHON names no Python with transformers (make peer)")
def test_both_sides_give_the_same_scores(capsys):
    run_benchmark.main(["scoring", *OPTIONS, "--peer_python", PEER_PYTHON])
    outcome = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert outcome["largest_difference"] < 1e-4 and outcome["solutions"] == 6


@pytest.mark.runs
def test_this_project_s_side_scores_every_candidate():
    arguments = parse("scoring", [*OPTIONS, "--peer_python", sys.executable])
    solutions, _, size = scoring._workload(arguments)
    job = {"solutions": solutions, "sizes": size, "seconds": 0.01, "threads": 1, "started": 0.0}
    result = children.run(scoring.CHILD, job)
    assert [len(scores) for scores in result["log_odds"]] == [8] * 6
    assert 300 + 3 * (120 + 2 * 120) - 10 < result["computed"] <= 300 + 3 * (120 + 2 * 120)
