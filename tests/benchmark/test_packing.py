"""Figures of the packings against examples that are counted by hand."""

import json

import numpy as np
import pytest

from llm.benchmark import examples, run_benchmark
from llm.benchmark.packing import packing
from llm.core.text.encoding import Sequence


def solution(*ids: int, prompt_len: int = 2) -> Sequence:
    return Sequence(np.array(ids, "int32"), np.array([len(ids) - 1]), np.array([1.0], "float32"), prompt_len)


# Three solutions of one question (1 2) and one of another: 5 + 6 + 5 + 4 = 20 tokens. As trees: 1 2 3 9, then 9 behind
# the first, 4 9 behind the second, and 5 6 9 of the third; 7 8 9 9 stands alone.
SOLUTIONS = [solution(1, 2, 3, 9, 9), solution(1, 2, 3, 9, 4, 9), solution(1, 2, 5, 6, 9), solution(7, 8, 9, 9)]


def test_figures_of_each_packing_are_those_counted_by_hand():
    results = {row["packing"]: row for row in packing.measure(SOLUTIONS, max_seq_len=11)}
    columns = ("rows", "tokens", "computed", "padding", "fill", "fewer")
    assert {name: tuple(row[column] for column in columns) for name, row in results.items()} == {
        "padded": (4, 20, 24, pytest.approx(4 / 24), None, 1.0),  # four times the longest, 6
        "sequential": (2, 20, 20, 0.0, pytest.approx(20 / 22), pytest.approx(24 / 20)),  # 5 + 6, 5 + 4
        "greedy": (2, 20, 20, 0.0, pytest.approx(20 / 22), pytest.approx(24 / 20)),
        "forest": (2, 14, 14, 0.0, pytest.approx(14 / 22), pytest.approx(24 / 14)),  # a tree of 10, one of 4
    }


def test_padding_is_counted_in_each_batch_by_itself():
    """9 solutions are a batch of 8 and one of a single solution, which needs no padding."""
    rows = examples.rows_of([solution(1, 2, 3)] * 8 + [solution(1, 2, 3, 4, 5)], "padded", max_seq_len=16)
    computed = packing.computed_tokens(rows, examples.rows_in_batch("padded"))
    assert computed in (8 * 3 + 5, 8 * 5 + 3)  # as the shuffling of the rows has it
    assert packing.computed_tokens(rows, 1) == 8 * 3 + 5


def test_batches_are_shuffled_as_in_training():
    """In the data's order solutions of a question, which are of like length, would need hardly any padding."""
    rows = examples.rows_of([solution(1, 2, 3)] * 8 + [solution(1, 2, 3, 4, 5)] * 8, "padded", max_seq_len=16)
    assert packing.computed_tokens(rows, 8) == 16 * 5


def test_the_command_says_what_it_did_and_ends_in_json(tiny, capsys):
    run_benchmark.main(["packing", str(tiny / "train.jsonl"), "--tokenizer", str(tiny / "model"), "--solutions", "40"])
    out = capsys.readouterr().out
    assert "40 solutions with" in out and f"tokenizer: {tiny / 'model'}" in out
    result = json.loads(out.splitlines()[-1])
    assert (result["benchmark"], result["solutions"], result["max_seq_len"]) == ("packing", 40, 4096)
    assert list(result["packings"]) == list(examples.PACKINGS)
    forest, greedy, padded = (result["packings"][name] for name in ("forest", "greedy", "padded"))
    assert forest["tokens"] < greedy["tokens"] == padded["tokens"] == result["solution_tokens"] < padded["computed"]


def test_a_tokenizer_of_the_datas_own_text_has_the_marks_as_pieces_and_is_said_to_be_one(tiny, capsys):
    run_benchmark.main(["packing", str(tiny / "dev.jsonl"), "--max_seq_len", "256"])
    assert "pieces, trained for this on the data's first 24 records; max_seq_len 256, max_prompt_len 128" in (
        capsys.readouterr().out
    )


def test_what_is_cut_or_dropped_is_said(tiny, capsys):
    run_benchmark.main(["packing", str(tiny / "dev.jsonl"), "--max_seq_len", "72"])
    out = capsys.readouterr().out
    assert "lost" in out and "steps from the end to max_seq_len" in out
