"""Random forests of rows, plain loops over who may see whom, and the kinds of attention."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm.core.cpu.kernels.build import kernels
from llm.core.model.attention import block_attention, dense_attention, kernel_attention

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
