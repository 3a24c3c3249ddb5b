"""Attention over packed rows and trees equals plain loops over who may see whom."""

from __future__ import annotations

import inspect

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paddle.nn.functional import flashmask_attention as flashmask_kernel

from llm.core.cpu.kernels.build import kernels
from llm.core.model import attention
from llm.core.model.attention import BUCKET, block_attention, dense_attention, dense_mask, kernel_attention

compiled = pytest.mark.skipif(kernels()[0] is None, reason=f"no compiled kernels: {kernels()[1]}")
kernel = pytest.param(kernel_attention, id="kernel", marks=compiled)
every_kind = pytest.mark.parametrize(
    "attend", [pytest.param(dense_attention, id="dense"), pytest.param(block_attention, id="block"), kernel]
)
HEAD_DIM = 4


def random_forest(length: int, random, new_tree: float, branch: float):
    """Depth-first: each token hangs on the one before it, on an ancestor of that (a branch), or on none (a new tree).
    Returns end_row [S] and, told by parents alone, who sees whom [S, S]: itself and its ancestors."""
    path: list[int] = []
    sees = np.zeros((length, length), bool)
    for token in range(length):
        if path and random.random() < new_tree:
            path = []
        elif path and random.random() < branch:
            path = path[: random.integers(1, len(path) + 1)]
        path.append(token)
        sees[token, path] = True
    # a token's descendants stand behind it without a gap: its column ends where they do
    end_row = np.array([sees[:, token].nonzero()[0].max() + 1 for token in range(length)], "int32")
    return end_row, sees


def forests(lengths, seed, new_tree=0.05, branch=0.1):
    random = np.random.default_rng(seed)
    return [random_forest(length, random, new_tree, branch) for length in lengths]


def batch_of(rows):
    """Rows of one batch, padded as collate does: padding sees itself alone. [B, S] and [B, S, S]."""
    longest = max(len(end_row) for end_row, _ in rows)
    end_rows, sees = [], []
    for end_row, sees_of_row in rows:
        padding = longest - len(end_row)
        end_rows.append(np.append(end_row, np.arange(len(end_row) + 1, longest + 1, dtype="int32")))
        padded = np.eye(longest, dtype=bool)
        padded[: longest - padding, : longest - padding] = sees_of_row
        sees.append(padded)
    return np.stack(end_rows), np.stack(sees)


def inputs_of(batch, length, heads, groups, seed=0, head_dim=HEAD_DIM):
    random = np.random.default_rng(seed)
    shapes = [(batch, length, heads, head_dim), *[(batch, length, groups, head_dim)] * 2]
    q, k, v = (random.normal(size=shape).astype("float32") * 2 for shape in shapes)
    return q, k, v, random.normal(size=(batch, length, heads * head_dim)).astype("float32")


def slow_attention(q, k, v, sees, upstream):
    """Output and gradients of q, k and v, row by row and head by head in float64."""
    batch, length, heads, head_dim = q.shape
    share = heads // k.shape[2]  # query heads of a group stand behind one another
    q, k, v = (array.astype("float64") for array in (q, k, v))
    d_out = upstream.astype("float64").reshape(q.shape)
    out, dq, dk, dv = np.zeros_like(q), np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for b, i, h in np.ndindex(batch, length, heads):
        g, columns = h // share, sees[b, i].nonzero()[0]
        keys, values = k[b, columns, g], v[b, columns, g]
        logits = keys @ q[b, i, h] / np.sqrt(head_dim)
        p = np.exp(logits - logits.max())
        p /= p.sum()
        out[b, i, h] = p @ values
        d_p = values @ d_out[b, i, h]
        d_logits = p * (d_p - p @ d_p) / np.sqrt(head_dim)
        dq[b, i, h] = d_logits @ keys
        dk[b, columns, g] += d_logits[:, None] * q[b, i, h]
        dv[b, columns, g] += p[:, None] * d_out[b, i, h]
    return out.reshape(upstream.shape), dq, dk, dv


def run(attend, q, k, v, end_row, upstream):
    tensors = [paddle.to_tensor(array, stop_gradient=False) for array in (q, k, v)]
    out = attend(*tensors, paddle.to_tensor(end_row))
    (out * paddle.to_tensor(upstream)).sum().backward()
    return [out.numpy(), *(tensor.grad.numpy() for tensor in tensors)]


def assert_equal_to_loops(attend, rows, heads, groups):
    end_row, sees = batch_of(rows)
    q, k, v, upstream = inputs_of(*end_row.shape, heads, groups)
    wanted = slow_attention(q, k, v, sees, upstream)
    got = run(attend, q, k, v, end_row, upstream)
    for name, mine, theirs in zip(("output", "dq", "dk", "dv"), got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5, err_msg=name)


# ---- values and gradients


def test_end_row_says_who_sees_whom():
    """dense_mask, read off end_row, is exactly "itself and its ancestors" in every forest."""
    for seed, (new_tree, branch) in enumerate([(0, 0), (1, 0), (0.1, 0), (0, 0.3), (0.1, 0.3), (0.02, 0.9)]):
        end_row, sees = batch_of(forests([31, 17], seed, new_tree, branch))
        assert (dense_mask(paddle.to_tensor(end_row)).numpy()[:, 0] == sees).all()


@every_kind
@settings(max_examples=25, deadline=None)
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
    end_row, _ = batch_of(forests([700, 512, 300], 3, 0.01, branch))
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


# ---- what is hidden stays hidden


@every_kind
@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("planted", ["key", "value", "both"])
def test_nan_in_a_column_reaches_only_those_who_see_it(attend, planted, number):
    """Not a solution beside it, not a branch of its own tree: neither outputs nor gradients. Those who see it are NaN:
    a broken number is not hidden."""
    end_row, sees = batch_of(forests([90, 70, 50], 2, 0.04, 0.05))
    q, k, v, upstream = inputs_of(*end_row.shape, 4, 2)
    clean = run(attend, q, k, v, end_row, upstream)
    for row, token in ((0, 0), (1, 40), (2, 49), (2, 88)):
        k_bad, v_bad = k.copy(), v.copy()
        for array, names in ((k_bad, ("key", "both")), (v_bad, ("value", "both"))):
            if planted in names:
                array[row, token] = number
        touched = sees[row, :, token]
        seen_beside_it = sees[row, touched].any(0)  # columns whose gradient comes from a touched row as well
        untouched_rows, untouched_columns = np.ones(end_row.shape, bool), np.ones(end_row.shape, bool)
        untouched_rows[row], untouched_columns[row] = ~touched, ~seen_beside_it
        out, dq, dk, dv = run(attend, q, k_bad, v_bad, end_row, upstream)
        assert np.isnan(out[row, touched]).all()
        for kept, mine, theirs in (
            (untouched_rows, out, clean[0]),
            (untouched_rows, dq, clean[1]),
            (untouched_columns, dk, clean[2]),
            (untouched_columns, dv, clean[3]),
        ):
            assert kept[row].any()
            np.testing.assert_allclose(mine[kept], theirs[kept], rtol=1e-4, atol=1e-5)


@compiled
@pytest.mark.parametrize("planted", ["query", "upstream"])
def test_nan_in_a_row_reaches_only_what_it_sees(planted):
    end_row, sees = batch_of(forests([90, 70], 2, 0.04, 0.05))
    q, k, v, upstream = inputs_of(*end_row.shape, 4, 2)
    clean = run(kernel_attention, q, k, v, end_row, upstream)
    (q if planted == "query" else upstream)[1, 33] = np.nan
    out, dq, dk, dv = run(kernel_attention, q, k, v, end_row, upstream)
    rows, columns = np.ones(end_row.shape, bool), np.ones(end_row.shape, bool)
    rows[1, 33], columns[1] = False, ~sees[1, 33]
    assert np.isnan(dk[~columns]).all() and np.isnan(dv[~columns]).all() and np.isnan(dq[1, 33]).all()
    for kept, mine, theirs in (
        (rows, out, clean[0]),
        (rows, dq, clean[1]),
        (columns, dk, clean[2]),
        (columns, dv, clean[3]),
    ):
        np.testing.assert_allclose(mine[kept], theirs[kept], rtol=1e-4, atol=1e-5)


@every_kind
def test_a_hidden_token_has_no_influence_at_all(attend):
    """Change a key and its value wildly: the rows that may not see them do not move, the others do."""
    end_row, sees = batch_of(forests([60, 41], 4, 0.06, 0.1))
    q, k, v, upstream = inputs_of(*end_row.shape, 4, 2)
    clean = run(attend, q, k, v, end_row, upstream)[0]
    for row, token in ((0, 0), (0, 31), (1, 17), (1, 40), (1, 55)):
        k_other, v_other = k.copy(), v.copy()
        k_other[row, token] = 50 * q[row, token, ::2]
        v_other[row, token] = 1e4
        changed = run(attend, q, k_other, v_other, end_row, upstream)[0]
        moved = np.abs(changed - clean).max(-1) > 1e-3
        assert not moved[1 - row].any()
        assert not (moved[row] & ~sees[row, :, token]).any()
        assert moved[row, token]


# ---- Paddle's kernel


def test_the_kernel_is_called_as_its_signature_wants(monkeypatch):
    """Without a GPU the call alone can be checked: arguments that exist, row indices [B, 1, S, 1] of int32 (another
    type would be refused or dropped), causal, and the heads joined in what comes back."""
    calls = []

    def recorded(*args, **kwargs):
        call = inspect.signature(flashmask_kernel).bind(*args, **kwargs)
        call.apply_defaults()
        calls.append(call.arguments)
        return call.arguments["query"]

    monkeypatch.setattr(attention.F, "flashmask_attention", recorded)
    q, k, v, _ = inputs_of(2, 6, 4, 2)
    end_row = np.array([[4, 2, 4, 4, 6, 6], [6] * 6])
    out = attention.flashmask_attention(*map(paddle.to_tensor, (q, k, v)), paddle.to_tensor(end_row, dtype="int64"))
    (call,) = calls
    assert out.shape == [2, 6, 4 * HEAD_DIM]
    indices = call["startend_row_indices"]
    assert indices.shape == [2, 1, 6, 1] and indices.dtype == paddle.int32
    assert (indices.numpy()[:, 0, :, 0] == end_row).all()
    assert call["causal"] is True
    assert (call["dropout"], call["window_size"], call["return_softmax_lse"]) == (0.0, None, False)
    for name, array in (("query", q), ("key", k), ("value", v)):
        assert (call[name].numpy() == array).all()


@pytest.mark.gpu
@pytest.mark.skipif(not paddle.is_compiled_with_cuda(), reason="FlashMask needs a CUDA device")
def test_the_kernel_equals_dense_attention():
    end_row, _ = batch_of(forests([300, 200], 6, 0.02, 0.05))
    random = np.random.default_rng(0)
    q, k, v = (random.normal(size=(2, 300, heads, 64)).astype("float32") for heads in (4, 2, 2))
    upstream = random.normal(size=(2, 300, 4 * 64)).astype("float32")

    def in_bfloat16(attend):
        def call(*tensors):
            *half, end_row = tensors
            return attend(*(tensor.astype("bfloat16") for tensor in half), end_row).astype("float32")

        return call

    dense, flash = (
        run(in_bfloat16(attend), q, k, v, end_row, upstream)
        for attend in (dense_attention, attention.flashmask_attention)
    )
    for mine, theirs in zip(flash, dense, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=5e-2, atol=5e-2)


# ---- which attention


def test_flashmask_is_used_where_it_is_asked_for_and_there(monkeypatch):
    on_cpu = block_attention if kernels()[0] is None else kernel_attention
    for cuda, asked, wanted in (
        (False, (True, True), on_cpu),
        (False, (False, False), on_cpu),
        (True, (True, True), attention.flashmask_attention),
        (True, (True, False), dense_attention),
        (True, (False, True), dense_attention),
    ):
        monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda cuda=cuda: cuda)
        chosen, why = attention.choose(*asked)
        assert chosen is wanted
        assert ("CPU" in why) == (not cuda)


def test_without_compiled_kernels_paddles_operations_take_over_and_say_why(monkeypatch):
    monkeypatch.setattr(attention, "kernels", lambda: (None, "no C++ compiler was found"))
    chosen, why = attention.choose(False, False)
    assert chosen is block_attention and "no C++ compiler was found" in why
