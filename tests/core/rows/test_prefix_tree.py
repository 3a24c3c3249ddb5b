"""A forest is the solutions that went into it: nothing lost, nothing mixed, nothing written twice."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.core.rows.packing import pack_alone, pack_greedy, pack_sequential
from llm.core.rows.prefix_tree import WORTH_REPEATING, Tree, grow_trees, lone_tree, split_tree
from llm.core.rows.row import Row, make_row
from llm.core.text.encoding import Pair, Sequence

MAX_SEQ_LEN = 16
quick = settings(max_examples=150, deadline=None)


@st.composite
def solutions_of_few_tokens(draw):
    """Three prompts, three different tokens: solutions begin alike, are parts of one another, or are the same."""
    prompt = draw(st.sampled_from([[7], [7, 8], [9]]))
    rest = draw(st.lists(st.integers(0, 2), min_size=1, max_size=MAX_SEQ_LEN - len(prompt)))
    ids = [*prompt, *rest]
    scored = sorted(draw(st.sets(st.integers(len(prompt), len(ids) - 1))))
    targets = [draw(st.sampled_from([0.0, 1.0, 0.25])) for _ in scored]
    return solution(ids, scored, targets, len(prompt))


SOLUTIONS = st.lists(solutions_of_few_tokens(), max_size=14)


def solution(ids, scored=(), targets=(), prompt_len=1) -> Sequence:
    return Sequence(np.array(ids, "int32"), np.array(scored, "int64"), np.array(targets, "float32"), prompt_len)


def described(solutions) -> Counter:
    return Counter((tuple(s.ids.tolist()), tuple(s.scored.tolist()), tuple(s.labels.tolist())) for s in solutions)


def ancestors(row: Row, token: int) -> list[int]:
    """By the definition of the mask: what the token sees."""
    return [j for j in range(token + 1) if token < row.end_row[j]]


def labels_read_from(row: Row) -> Counter:
    """(ids up to the label, label) of every label, each token's text being what it sees."""
    found = Counter()
    for at, label in zip(row.payload.at, row.payload.labels, strict=True):
        path = ancestors(row, row.payload.scored[at])
        assert row.positions[path].tolist() == list(range(len(path)))
        found[tuple(row.ids[path].tolist()), float(label)] += 1
    return found


def labels_of(solutions) -> Counter:
    return Counter(
        (tuple(s.ids[: place + 1].tolist()), float(target))
        for s in solutions
        for place, target in zip(s.scored, s.labels, strict=True)
    )


# ---- growing


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
    """100,000 of one prompt and 20,000 copies of one solution: comparing all pairs would take hours."""
    random = np.random.default_rng(0)
    prompt = np.arange(40)
    different = [solution(np.concatenate([prompt, random.integers(0, 9, 60)]), [99], [1.0], 40) for _ in range(100_000)]
    same = [solution(np.concatenate([prompt, np.zeros(60)]), [99], [n % 2], 40) for n in range(20_000)]
    trees = list(grow_trees(different + same, 2048, True))
    assert sum(len(tree.solutions) for tree in trees) == 120_000
    assert max(map(len, trees)) <= 2048
    rows = list(pack_greedy(trees, 2048))
    assert sum(row.solution_count for row in rows) == 120_000
    most = [np.bincount(row.payload.at) for row in rows]
    heaviest = max(range(len(rows)), key=lambda number: most[number].max())
    assert most[heaviest].max() == 20_000
    row = rows[heaviest]
    assert row.payload.labels[row.payload.at == most[heaviest].argmax()].mean() == 0.5


# ---- rows


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
    """Whatever the settings: every label stands behind the text that it stands behind in its solution, and every scored
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
