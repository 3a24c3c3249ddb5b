"""The benchmark of long rows: what fills a row, and the measurement for real."""

import json

import numpy as np
import pytest

from llm.benchmark import run_benchmark
from llm.benchmark.length.length import TOKENS, solution
from tests.runs import refusal

SIZES = "--hidden_size 32 --intermediate_size 48 --num_hidden_layers 1 --num_attention_heads 2 --vocab_size 500".split()


def test_a_solution_has_a_label_at_the_end_of_every_step():
    ids, scored, labels, prompt = solution(320, 0, 500)
    assert (len(ids), scored, prompt) == (320, [127, 191, 255, 319], 64)
    assert len(labels) == 4 and max(TOKENS) < min(ids) and max(ids) < 500


def test_rows_too_short_for_a_step_are_refused(capsys):
    message = refusal(capsys, ["length", "--lengths", "256", "--solutions", "4"], run_benchmark.main)
    assert "a solution would have 64 tokens" in message


@pytest.mark.runs
def test_every_length_is_measured(in_this_process, capsys):
    run_benchmark.main(["length", "--lengths", "256,512", "--solutions", "2", *SIZES])
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert [row["length"] for row in rows] == [256, 512]
    assert [row["pairs"] for row in rows] == [2 * np.arange(1, n + 1).sum() for n in (128, 256)]
    assert all(row["seconds"] > 0 and row["peak_megabytes"] > 100 for row in rows)
