"""The rows of trees and pairs say what the solutions say."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llm.core.rows.packing import pack_alone, pack_greedy, pack_sequential
from llm.core.rows.prefix_tree import Tree, grow_trees, lone_tree
from llm.core.rows.row import make_row
from llm.core.text.encoding import Pair, Sequence
from tests.core.rows.small_solutions import (
    MAX_SEQ_LEN,
    SOLUTIONS,
    ancestors,
    labels_of,
    labels_read_from,
    quick,
    solution,
)


def test_a_small_tree_written_out():
    """The example of the module: three solutions of the prompt A, the placeholder k behind each step."""
    a, b, c, d, e, k = range(6)
    solutions = [
        solution([a, b, c, k], [3], [1.0]),
        solution([a, b, d, k], [3], [0.0]),
        solution([a, e, k], [2], [1.0]),
    ]
    (tree,) = grow_trees(solutions, MAX_SEQ_LEN, True)
    row = make_row([tree])
    assert row.ids.tolist() == [a, b, c, k, d, k, e, k]
    assert row.positions.tolist() == [0, 1, 2, 3, 2, 3, 1, 2]
    assert row.end_row.tolist() == [8, 6, 4, 4, 6, 6, 8, 8]
    assert row.payload.scored.tolist() == [3, 5, 7]
    assert row.payload.targets.tolist() == [1.0, 0.0, 1.0] and row.payload.weights.tolist() == [1.0, 1.0, 1.0]
    assert row.payload.solutions.tolist() == [0, 1, 2] and row.solution_count == 3


def test_labels_on_one_position_are_all_kept():
    """Three solutions share the first step, labelled 1, 1 and 0; one of them is there twice."""
    solutions = [
        solution([5, 6, 9, 7, 9], [2, 4], [1.0, 0.0]),
        solution([5, 6, 9, 7, 9], [2, 4], [1.0, 1.0]),
        solution([5, 6, 9, 8, 9], [2, 4], [0.0, 1.0]),
    ]
    row = make_row(list(grow_trees(solutions, MAX_SEQ_LEN, True)))
    assert row.ids.tolist() == [5, 6, 9, 7, 9, 8, 9]
    assert row.payload.scored.tolist() == [2, 4, 6]
    assert row.payload.weights.tolist() == [1.0] * 6 and row.weight == 6
    assert row.payload.at.tolist() == [0, 1, 0, 1, 0, 2]
    assert row.payload.labels.tolist() == row.payload.targets.tolist() == [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    assert row.payload.solutions.tolist() == [0, 0, 1, 1, 2, 2]


@quick
@given(SOLUTIONS, st.booleans(), st.sampled_from([pack_alone, pack_sequential, pack_greedy]))
def test_rows_say_what_the_solutions_say(solutions, prefix_sharing, pack):
    """Whatever the settings: every label follows the same text as in its solution, and every scored
    position has one."""
    rows = list(pack(grow_trees(solutions, MAX_SEQ_LEN, prefix_sharing), MAX_SEQ_LEN))
    assert sum((labels_read_from(row) for row in rows), Counter()) == labels_of(solutions)
    assert sum(row.solution_count for row in rows) == len(solutions)
    for row in rows:
        assert len(row) <= MAX_SEQ_LEN
        assert (row.end_row > np.arange(len(row))).all() and row.end_row.max() <= len(row)
        assert (np.diff(row.payload.scored) > 0).all()
        assert np.unique(row.payload.at).tolist() == list(range(len(row.payload.scored)))
        assert (row.ids.dtype, row.end_row.dtype, row.payload.targets.dtype) == (np.int32, np.int32, np.float32)


@quick
@given(SOLUTIONS, st.booleans(), st.sampled_from([pack_alone, pack_sequential, pack_greedy]))
def test_checksums_of_texts_are_equal_exactly_where_the_texts_are(solutions, prefix_sharing, pack):
    """In all rows of a data set, wherever a solution stands in its row."""
    checksums: dict[tuple[int, ...], set[int]] = {}
    for row in pack(grow_trees(solutions, MAX_SEQ_LEN, prefix_sharing), MAX_SEQ_LEN):
        for at, checksum in zip(row.payload.at, row.payload.texts, strict=True):
            text = tuple(row.ids[ancestors(row, row.payload.scored[at])].tolist())
            checksums.setdefault(text, set()).add(int(checksum))
    assert all(len(found) == 1 for found in checksums.values())
    assert len(set().union(*checksums.values())) == len(checksums)


@quick
@given(SOLUTIONS)
def test_the_labels_of_a_solution_stay_together(solutions):
    """Metrics per solution need to know whose label it is."""
    for tree in grow_trees(solutions, MAX_SEQ_LEN, True):
        row = make_row([tree])
        for number, one in enumerate(tree.solutions):
            mine = row.payload.solutions == number
            assert row.payload.labels[mine].tolist() == one.labels.tolist()
            assert row.positions[row.payload.scored[row.payload.at[mine]]].tolist() == one.scored.tolist()


def test_trees_of_a_row_do_not_see_each_other():
    row = make_row([Tree([solution([1, 2]), solution([1, 3])], [0, 1], 3), lone_tree(solution([1, 4, 5]))])
    assert row.end_row.tolist() == [3, 2, 3, 6, 6, 6]
    assert row.positions.tolist() == [0, 1, 1, 0, 1, 2]


# ---- pairs


def pair(prompt, chosen, rejected, margin=0.0, weight=1.0) -> Pair:
    def answer(ids):
        whole = [*prompt, *ids]
        return Sequence(np.array(whole, "int32"), np.array([len(whole) - 1]), np.zeros(1, "float32"), len(prompt), 0.0)

    return Pair(answer(chosen), answer(rejected), margin, weight)


def test_both_answers_of_a_pair_stand_behind_their_prompt():
    """3 answers in 3 pairs are written once each; a pair of another prompt is a tree of its own."""
    pairs = [pair([5, 6], [1, 9], [2, 9], 0.5), pair([5, 6], [1, 9], [3, 9], weight=2.0), pair([5, 6], [3, 9], [2, 9])]
    trees = list(grow_trees([*pairs, pair([7], [1, 9], [2, 9])], MAX_SEQ_LEN, True))
    row = make_row(trees)
    assert row.ids.tolist() == [5, 6, 1, 9, 2, 9, 3, 9, 7, 1, 9, 2, 9]
    assert row.end_row.tolist() == [8, 8, 4, 4, 6, 6, 8, 8, 13, 11, 11, 13, 13]
    assert row.payload.scored.tolist() == [3, 5, 7, 10, 12]
    assert (row.payload.chosen.tolist(), row.payload.rejected.tolist()) == ([0, 0, 2, 3], [1, 2, 1, 4])
    assert row.payload.margins.tolist() == [0.5, 0, 0, 0] and row.payload.weights.tolist() == [1, 2, 1, 1]
    assert row.weight == 5 and row.solution_count == 5


ANSWER = st.lists(st.integers(1, 2), max_size=4).map(lambda ids: [*ids, 9])
PAIRS = st.lists(
    st.builds(pair, st.sampled_from([[5], [5, 6], [7, 7, 7]]), ANSWER, ANSWER, st.sampled_from([0.0, 1.0])), max_size=12
)


@quick
@given(PAIRS, st.booleans(), st.sampled_from([pack_alone, pack_sequential, pack_greedy]), st.sampled_from([None, 3]))
def test_no_pair_is_lost_or_torn_apart(pairs, prefix_sharing, pack, window):
    """Whatever the settings; read back from the rows by the tokens that each end sees."""
    limit = 14
    rows = list(pack(grow_trees(pairs, limit, prefix_sharing, window), limit))
    found = Counter()
    for row in rows:
        assert len(row) <= limit

        def text(k, row=row):
            end = row.payload.scored[k]
            return tuple(row.ids[(np.arange(len(row)) <= end) & (row.end_row > end)].tolist())

        for chosen, rejected, margin in zip(row.payload.chosen, row.payload.rejected, row.payload.margins, strict=True):
            found[text(chosen), text(rejected), float(margin)] += 1
    wanted = Counter((tuple(p.chosen.ids.tolist()), tuple(p.rejected.ids.tolist()), p.margin) for p in pairs)
    assert found == wanted


def test_many_pairs_of_one_prompt_fill_the_rows():
    """What a pair adds to a tree is counted exactly, so trees are full: 6 pairs of 4 answers are 4 answers."""
    pairs = [pair([5] * 4, [a, a, 9], [b, b, 9]) for a in range(4) for b in range(a)]
    (tree,) = grow_trees(pairs, 16, True)
    assert len(tree) == 16 and len(tree.links) == 6
    random = np.random.default_rng(0)
    many = [pair([5] * 40, [*random.integers(0, 9, 20), 9], [*random.integers(0, 9, 20), 9]) for _ in range(3000)]
    rows = [make_row([tree]) for tree in grow_trees(many, 500, True)]
    assert sum(len(row.payload.chosen) for row in rows) == 3000
    assert min(len(row) for row in rows[:-1]) > 500 - 42
