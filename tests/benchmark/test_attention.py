"""The masks that attention is timed with, and the command end to end."""

import json

import numpy as np
import pytest

from llm.benchmark import children, run_benchmark
from llm.benchmark.attention import attention

OPTIONS = "attention --lengths 40 --documents 1,3 --heads 2 --head_dim 8 --repetitions 1".split()


def test_documents_are_of_like_length_and_end_where_they_end():
    masks = dict(attention.masks(7, [1, 3]))
    assert masks["1 document"].tolist() == [7] * 7
    assert masks["3 documents"].tolist() == [2, 2, 4, 4, 7, 7, 7]
    assert list(masks) == ["1 document", "3 documents", "a tree"]


def test_the_tree_is_a_stem_with_branches_that_branch_again():
    """25 tokens: a stem of 5, four branches of 5, each a stem of 1 and four twigs of 1."""
    branch = [5, 2, 3, 4, 5]
    assert attention.tree(25).tolist() == [25] * 5 + [start + end for start in (5, 10, 15, 20) for end in branch]


@pytest.mark.parametrize("length", [1, 7, 64, 1000])
def test_every_token_of_the_tree_sees_itself_and_branches_nest(length):
    end_row = attention.tree(length)
    assert (end_row > np.arange(length)).all() and (end_row <= length).all()
    for token, end in enumerate(end_row):
        assert (end_row[token:end] <= end).all()


def test_the_command_times_each_mask_and_ends_in_json(capsys):
    run_benchmark.main(OPTIONS)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(row["tokens"], row["mask"]) for row in result["rows"]] == [
        (40, "1 document"),
        (40, "3 documents"),
        (40, "a tree"),
    ]
    first = result["rows"][0]
    assert first["pairs"] == 40 * 41 // 2
    others = ("block", "dense") if result["kernel"] else ("dense",)
    least = "kernel" if result["kernel"] else "block"
    for name in others:
        assert first[f"{name}_ratio"] == pytest.approx(first[f"{name}_ms"] / first[f"{least}_ms"])


def test_without_the_compiled_kernel_the_others_are_compared_and_the_reason_is_said(monkeypatch, capsys):
    monkeypatch.setattr(attention, "kernels", lambda: (None, "no compiler here"))
    run_benchmark.main(OPTIONS)
    out = capsys.readouterr().out
    assert "the compiled kernel is not compared: no compiler here" in out
    result = json.loads(out.splitlines()[-1])
    assert result["kernel"] is False
    assert {"block_ms", "dense_ms", "dense_ratio"} <= result["rows"][0].keys()
    assert not any(key.startswith("kernel") for key in result["rows"][0])


@pytest.mark.runs
def test_memory_is_that_of_the_pass_alone_in_a_process_of_its_own():
    """A dense pass over S tokens holds at least the H x S x S weights and their gradient: much more than what importing
    the libraries has left free to be used again."""
    length, heads = 1536, 4
    job = {"variant": "dense", "end_row": [length] * length, "heads": heads, "head_dim": 8}
    extra = children.run(attention.CHILD, job)["extra_bytes"]
    weights = heads * length * length * 4
    assert 2 * weights < extra < 20 * weights
