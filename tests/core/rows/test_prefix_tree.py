"""A forest is the solutions that went into it: nothing lost, nothing mixed, nothing written twice."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llm.core.rows.packing import pack_greedy
from llm.core.rows.prefix_tree import WORTH_REPEATING, Tree, grow_trees, split_tree
from llm.core.rows.row import make_row
from tests.core.rows.small_solutions import MAX_SEQ_LEN, SOLUTIONS, described, quick, solution


@quick
@given(SOLUTIONS, st.sampled_from([None, 1, 3]))
def test_trees_hold_every_solution_once(solutions, window):
    trees = list(grow_trees(iter(solutions), MAX_SEQ_LEN, True, window))
    assert described(s for tree in trees for s in tree.solutions) == described(solutions)
    assert all(0 < len(tree) <= MAX_SEQ_LEN for tree in trees)


@quick
@given(SOLUTIONS)
def test_within_a_tree_no_beginning_is_written_twice(solutions):
    """As many tokens as there are different beginnings: the least that a tree can have."""
    for tree in grow_trees(solutions, MAX_SEQ_LEN, True):
        beginnings = {tuple(s.ids[: n + 1].tolist()) for s in tree.solutions for n in range(len(s))}
        assert len(tree) == len(make_row([tree])) == len(beginnings)
        assert len({tuple(s.ids[: s.prompt_len].tolist()) for s in tree.solutions}) == 1


def test_trees_come_in_the_order_in_which_their_prompts_do():
    solutions = [solution([prompt, 1, n]) for n in range(2) for prompt in (9, 7, 8)]
    assert [tree.solutions[0].ids[0] for tree in grow_trees(solutions, MAX_SEQ_LEN, True)] == [9, 7, 8]


def test_a_window_bounds_what_is_read_and_merged():
    taken = []

    def stream():
        for number in range(100):
            taken.append(number)
            yield solution([7, 1, number])

    trees = grow_trees(stream(), MAX_SEQ_LEN, True, window=4)
    assert [len(next(trees).solutions) for _ in range(3)] == [4, 4, 4]
    assert len(taken) == 12


@quick
@given(SOLUTIONS)
def test_without_prefix_sharing_each_solution_stands_alone_in_the_order_of_the_data(solutions):
    trees = list(grow_trees(solutions, MAX_SEQ_LEN, False))
    assert [tree.solutions for tree in trees] == [[s] for s in solutions]


@quick
@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=8), min_size=2, max_size=9))
def test_a_group_too_large_for_a_row_is_divided_with_the_least_repeated(endings):
    """Against every way to cut the sorted solutions into parts that fit."""
    solutions = sorted((solution([5, 6, *ending], prompt_len=2) for ending in endings), key=lambda s: s.ids.tobytes())
    limit = 12

    def size(part) -> int:
        return len({tuple(s.ids[: n + 1].tolist()) for s in part for n in range(len(s))})

    possible = []
    for cuts in range(len(solutions)):
        for places in combinations(range(1, len(solutions)), cuts):
            bounds = [0, *places, len(solutions)]
            sizes = [size(solutions[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]
            if max(sizes) <= limit:
                possible.append(sum(sizes))
    trees = list(grow_trees(solutions, limit, True))
    assert max(map(len, trees)) <= limit
    assert sum(map(len, trees)) == min(possible)


def tree_of(prompt: int, *endings: int) -> Tree:
    """A prompt of so many tokens and solutions of so many more, which share the prompt alone."""
    solutions = [solution([*range(prompt), *[100 + n] * length], prompt_len=prompt) for n, length in enumerate(endings)]
    (tree,) = grow_trees(solutions, 999, True)
    return tree


def test_a_tree_is_split_where_a_part_just_fits():
    part, rest = split_tree(tree_of(1, 5, 5, 5), 11)
    assert (len(part), len(rest)) == (11, 6)  # the rest writes the prompt again
    assert [len(tree.solutions) for tree in (part, rest)] == [2, 1]
    assert len(split_tree(tree_of(1, 5, 5, 5), 10)[0]) == 6
    assert split_tree(tree_of(1, 5, 5, 5), 5) is None and split_tree(tree_of(1, 9), 99) is None


def test_a_part_must_be_worth_what_is_repeated_for_it():
    assert WORTH_REPEATING == 4
    assert split_tree(tree_of(3, 9, 9), 12) is not None  # 12 tokens, 3 of them again
    assert split_tree(tree_of(4, 9, 9), 13) is None  # 13 tokens, 4 of them again


def test_a_tree_is_split_where_the_rest_repeats_little():
    """One solution leaves a rest that shares 9 tokens with it, two one that shares the prompt of 1."""
    long = [1, *range(20, 28)]
    solutions = [solution([*long, 40]), solution([*long, 41]), solution([1, *range(60, 70)])]
    (tree,) = grow_trees(solutions, 99, True)
    assert [len(tree.solutions) for tree in split_tree(tree, 11)] == [2, 1]


def test_many_solutions_of_one_prompt_and_many_that_are_the_same_take_no_quadratic_time():
    """8,000 of one prompt and 4,000 copies of one solution: comparing all pairs would take many minutes."""
    random = np.random.default_rng(0)
    prompt = np.arange(40)
    different = [solution(np.concatenate([prompt, random.integers(0, 9, 60)]), [99], [1.0], 40) for _ in range(8_000)]
    same = [solution(np.concatenate([prompt, np.zeros(60)]), [99], [n % 2], 40) for n in range(4_000)]
    trees = list(grow_trees(different + same, 2048, True))
    assert sum(len(tree.solutions) for tree in trees) == 12_000
    assert max(map(len, trees)) <= 2048
    rows = list(pack_greedy(trees, 2048))
    assert sum(row.solution_count for row in rows) == 12_000
    most = [np.bincount(row.payload.at) for row in rows]
    heaviest = max(range(len(rows)), key=lambda number: most[number].max())
    assert most[heaviest].max() == 4_000
    row = rows[heaviest]
    assert row.payload.labels[row.payload.at == most[heaviest].argmax()].mean() == 0.5
