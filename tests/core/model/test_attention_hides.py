"""What a token may not see changes nothing, not even a NaN."""

from __future__ import annotations

import numpy as np
import pytest

from llm.core.model.attention import kernel_attention
from tests.core.model.forests import batch_of, compiled, every_kind, forests, inputs_of, run


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
