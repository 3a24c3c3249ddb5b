"""Attention over packed rows and trees equals plain loops over who may see whom."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.core.model.attention import BUCKET, block_attention, dense_attention, dense_mask, kernel_attention
from tests.core.model.forests import (
    assert_equal_to_loops,
    batch_of,
    compiled,
    every_kind,
    forests,
    inputs_of,
    kernel,
    random_forest,
    run,
    slow_attention,
)


def test_end_row_says_who_sees_whom():
    """dense_mask, read off end_row, is exactly "itself and its ancestors" in every forest."""
    for seed, (new_tree, branch) in enumerate([(0, 0), (1, 0), (0.1, 0), (0, 0.3), (0.1, 0.3), (0.02, 0.9)]):
        end_row, sees = batch_of(forests([31, 17], seed, new_tree, branch))
        assert (dense_mask(paddle.to_tensor(end_row)).numpy()[:, 0] == sees).all()


@every_kind
@settings(max_examples=12)
@given(
    lengths=st.lists(st.integers(1, 24), min_size=1, max_size=3),
    new_tree=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    branch=st.sampled_from([0.0, 0.2, 0.8]),
    groups=st.integers(1, 3),
    share=st.integers(1, 3),
    seed=st.integers(0, 999),
)
def test_small_forests_equal_the_loops(attend, lengths, new_tree, branch, groups, share, seed):
    """Rows of different structure in one batch, branches, grouped heads: output and all gradients."""
    assert_equal_to_loops(attend, forests(lengths, seed, new_tree, branch), groups * share, groups)


@every_kind
@pytest.mark.parametrize("branch", [0.0, 0.05], ids=["solutions", "trees"])
def test_blocks_around_the_size_of_a_bucket_equal_the_loops(attend, branch):
    """Blocks one shorter than a bucket, as long, and one longer, beside short ones, packed in rows of unlike filling:
    where a block's padding is one token, none, or nearly a whole bucket."""
    random = np.random.default_rng(5)
    sizes = [[BUCKET - 1, 3, BUCKET], [BUCKET + 1, 1, BUCKET + 2], [1] * 5]
    rows = []
    for lengths in sizes:
        end_row, sees = np.zeros(sum(lengths), "int32"), np.zeros([sum(lengths)] * 2, bool)
        start = 0
        for length in lengths:
            end, inside = random_forest(length, random, 0, branch)
            end_row[start : start + length] = end + start
            sees[start : start + length, start : start + length] = inside
            start += length
        rows.append((end_row, sees))
    assert_equal_to_loops(attend, rows, 2, 1)


@pytest.mark.parametrize("attend", [pytest.param(block_attention, id="block"), kernel])
@pytest.mark.parametrize("head_dim", [4, 32, 80, 128])
@pytest.mark.parametrize("branch", [0.0, 0.02], ids=["solutions", "trees"])
def test_rows_of_real_size_equal_dense_attention(attend, head_dim, branch):
    """Long rows of many solutions and trees, with heads that fill vectors and that do not: the loops are too slow."""
    end_row, _ = batch_of(forests([400, 256, 150], 3, 0.01, branch))
    inputs = inputs_of(*end_row.shape, 4, 2, head_dim=head_dim)
    q, k, v, upstream = [inputs[0] / head_dim**0.25, inputs[1] / head_dim**0.25, *inputs[2:]]
    for mine, theirs in zip(
        run(attend, q, k, v, end_row, upstream), run(dense_attention, q, k, v, end_row, upstream), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=5e-5)


@every_kind
@pytest.mark.parametrize("trained", range(3))
def test_what_is_frozen_gets_no_gradient_and_stops_none(attend, trained):
    """Adapters may train queries alone."""
    end_row, _ = batch_of(forests([20], 9, 0.05, 0.1))
    *arrays, upstream = inputs_of(*end_row.shape, 4, 2)
    tensors = [paddle.to_tensor(x, stop_gradient=n != trained) for n, x in enumerate(arrays)]
    (attend(*tensors, paddle.to_tensor(end_row)) * paddle.to_tensor(upstream)).sum().backward()
    wanted = run(attend, *arrays, end_row, upstream)[1 + trained]
    assert (tensors[trained].grad.numpy() == wanted).all()
    assert [tensor.grad is not None for tensor in tensors] == [n == trained for n in range(3)]


@every_kind
def test_tensors_may_lie_in_memory_in_another_order(attend):
    """Heads before tokens, as some layers have them, and a gradient that comes back transposed."""
    end_row, _ = batch_of(forests([40, 33], 9, 0.05, 0.1))
    q, k, v, upstream = inputs_of(*end_row.shape, 4, 2)

    def turned(*inputs):
        *heads_first, end_row_BS = inputs
        out = attend(*(x.transpose([0, 2, 1, 3]) for x in heads_first), end_row_BS)
        return out.transpose([2, 0, 1])

    straight = run(attend, q, k, v, end_row, upstream)
    swapped = [np.ascontiguousarray(x.swapaxes(1, 2)) for x in (q, k, v)]
    out, *gradients = run(turned, *swapped, end_row, np.ascontiguousarray(upstream.transpose(2, 0, 1)))
    np.testing.assert_allclose(out.transpose(1, 2, 0), straight[0], rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(gradients, straight[1:], strict=True):
        np.testing.assert_allclose(mine.swapaxes(1, 2), theirs, rtol=1e-5, atol=1e-6)


@compiled
def test_the_number_of_threads_changes_nothing(monkeypatch):
    """Bit by bit: what is added up is added in one order."""
    end_row, _ = batch_of(forests([300, 200], 8, 0.01, 0.02))
    q, k, v, upstream = inputs_of(*end_row.shape, 4, 2)
    results = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("MKL_NUM_THREADS", threads)
        results.append(run(kernel_attention, q, k, v, end_row, upstream))
    for other in results[1:]:
        assert all((mine == theirs).all() for mine, theirs in zip(other, results[0], strict=True))


@every_kind
def test_large_scores_do_not_overflow(attend):
    """A mask that is added must not turn a large score of a hidden column into a seen one, nor a sum into NaN."""
    end_row, sees = batch_of(forests([20, 12], 1, 0.2, 0.3))
    q, k, v, upstream = inputs_of(*end_row.shape, 2, 1)
    q, k = q * 1e3, k * 1e3
    wanted = slow_attention(q, k, v, sees, upstream)[0]
    np.testing.assert_allclose(run(attend, q, k, v, end_row, upstream)[0], wanted, rtol=1e-3, atol=1e-3)
