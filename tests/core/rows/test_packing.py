"""Packing loses and mixes nothing, and a batch says who may see whom."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.core.rows import packing
from llm.core.rows.batch import collate
from llm.core.rows.packing import choose_packing, pack_alone, pack_greedy, pack_sequential
from llm.core.rows.payload import Pairs
from llm.core.rows.prefix_tree import Tree, grow_trees, lone_tree
from llm.core.rows.row import Row, make_row
from llm.core.text.encoding import Pair, Sequence

MAX_SEQ_LEN = 24
PAD = 7
PACKINGS = [pack_alone, pack_sequential, pack_greedy, lambda s, n: pack_greedy(s, n, window=3)]
packings = pytest.mark.parametrize("pack", PACKINGS, ids=["alone", "sequential", "greedy", "greedy by windows"])
quick = settings(max_examples=40)


def make_trees(lengths, seed=0) -> list[Tree]:
    """Lone solutions with ids that occur once in all of them together, about a third of the positions scored."""
    random, trees, first_id = np.random.default_rng(seed), [], 100
    for length in lengths:
        scored = np.flatnonzero(random.random(length) < 0.3)
        targets = random.random(len(scored)).astype("float32")
        trees.append(lone_tree(Sequence(np.arange(first_id, first_id + length), scored, targets)))
        first_id += length
    return trees


TREES = st.builds(make_trees, st.lists(st.integers(1, MAX_SEQ_LEN), max_size=12), st.integers(0, 99))


def may_attend(end_row: np.ndarray) -> np.ndarray:
    """[S, S], row i and column j, read off the definition `j <= i < end_row[j]`."""
    rows, columns = np.arange(len(end_row))[:, None], np.arange(len(end_row))[None, :]
    return (columns <= rows) & (rows < end_row)


def sequences_of(row: Row) -> list[Sequence]:
    """A row taken apart token by token: a sequence starts where a position is 0."""
    starts = [i for i, position in enumerate(row.positions) if position == 0]
    parts = []
    for start, end in zip(starts, [*starts[1:], len(row)], strict=True):
        inside = [k for k, position in enumerate(row.payload.scored) if start <= position < end]
        parts.append(Sequence(row.ids[start:end], row.payload.scored[inside] - start, row.payload.labels[inside]))
    return parts


def solutions_of(trees: list[Tree]) -> list[Sequence]:
    return [solution for tree in trees for solution in tree.solutions]


def contents(sequences) -> list:
    return [(s.ids.tolist(), s.scored.tolist(), s.labels.tolist()) for s in sequences]


# ---- rows


@quick
@given(st.builds(make_trees, st.lists(st.integers(1, 9), min_size=1, max_size=6)))
def test_a_row_is_what_a_slow_construction_gives(trees):
    """Pair by pair of tokens: one sees the other if both are of the same solution and it does not stand before it."""
    sequences = solutions_of(trees)
    owner, depth, targets, solutions, scored = [], [], [], [], []
    for number, sequence in enumerate(sequences):
        for i in range(len(sequence)):
            if i in sequence.scored:
                scored.append(len(owner))
                targets.append(sequence.labels[list(sequence.scored).index(i)])
                solutions.append(number)
            owner.append(number)
            depth.append(i)
    row = make_row(trees)
    length = len(owner)
    sees = [[owner[i] == owner[j] and j <= i for j in range(length)] for i in range(length)]
    assert may_attend(row.end_row).tolist() == sees
    assert row.positions.tolist() == depth
    assert row.ids.tolist() == [number for sequence in sequences for number in sequence.ids]
    assert (row.payload.scored.tolist(), row.payload.solutions.tolist()) == (scored, solutions)
    assert row.payload.targets.tolist() == targets
    assert row.payload.weights.tolist() == [1.0] * len(scored) and row.weight == len(scored)
    assert row.solution_count == len(sequences) and len(row) == length
    assert (row.end_row.dtype, row.ids.dtype, row.payload.targets.dtype) == (np.int32, np.int64, np.float32)


@packings
@quick
@given(trees=TREES)
def test_a_packing_is_a_partition(pack, trees):
    """Every sequence is in exactly one row, whole, with its own labels, and no row is longer than allowed."""
    rows = list(pack(iter(trees), MAX_SEQ_LEN))
    found = [sequence for row in rows for sequence in sequences_of(row)]
    assert sorted(contents(found)) == contents(solutions_of(trees))
    assert all(0 < len(row) <= MAX_SEQ_LEN for row in rows)
    assert sum(row.solution_count for row in rows) == len(trees)


@quick
@given(TREES)
def test_sequential_packing_keeps_the_order_and_ends_a_row_only_when_the_next_does_not_fit(trees):
    rows = list(pack_sequential(trees, MAX_SEQ_LEN))
    assert contents(s for row in rows for s in sequences_of(row)) == contents(solutions_of(trees))
    for row, following in zip(rows, rows[1:], strict=False):
        assert len(row) + len(sequences_of(following)[0]) > MAX_SEQ_LEN


@quick
@given(TREES)
def test_packing_alone_gives_a_row_for_each(trees):
    rows = list(pack_alone(trees, MAX_SEQ_LEN))
    assert [row.ids.tolist() for row in rows] == [solution.ids.tolist() for solution in solutions_of(trees)]


@quick
@given(TREES)
def test_greedy_packing_needs_no_more_rows_than_best_fit_decreasing(trees):
    """Against the plain quadratic form: longest first, into the fullest row that has room for it."""
    fills: list[int] = []
    for length in sorted(map(len, trees), reverse=True):
        fitting = [fill for fill in fills if fill + length <= MAX_SEQ_LEN]
        fills.append((fills.pop(fills.index(max(fitting))) if fitting else 0) + length)
    assert len(list(pack_greedy(trees, MAX_SEQ_LEN))) <= len(fills)


@pytest.mark.parametrize("pack, fill", [(pack_sequential, 0.9), (pack_greedy, 0.97)], ids=["sequential", "greedy"])
def test_trees_too_large_to_fill_rows_by_themselves_are_split(pack, fill):
    """Eight solutions of 30 to 900 tokens behind each prompt: whole trees of some 3,000 tokens would leave a sixth of
    the rows empty. What is repeated to fill them stays below 3 %, and no solution is lost."""
    random = np.random.default_rng(0)
    solutions = []
    for _ in range(300):
        prompt = random.integers(0, 32000, random.integers(20, 150))
        for length in random.integers(30, 900, 8):
            ids = np.concatenate([prompt, random.integers(0, 32000, length)]).astype("int32")
            solutions.append(Sequence(ids, np.array([len(ids) - 1]), np.ones(1, "float32"), len(prompt)))
    trees = list(grow_trees(solutions, 4096, prefix_sharing=True))
    rows = list(pack(trees, 4096))
    tokens = sum(map(len, rows))
    assert max(map(len, rows)) <= 4096
    assert tokens / (len(rows) * 4096) >= fill
    assert sum(map(len, trees)) < tokens < 1.03 * sum(map(len, trees))
    ends = [tuple(row.ids[max(place - 9, 0) : place + 1]) for row in rows for place in row.payload.scored]
    assert sorted(ends) == sorted(tuple(solution.ids[-10:]) for solution in solutions)


def test_a_stream_is_packed_within_a_bounded_window():
    """Rows come before the stream has been read: memory stays bounded."""
    taken = 0

    def stream():
        nonlocal taken
        for tree in make_trees([10] * 100):
            taken += 1
            yield tree

    rows = pack_greedy(stream(), MAX_SEQ_LEN, window=8)
    next(rows)
    assert taken == 8


def test_a_streams_window_is_that_of_the_settings(monkeypatch):
    monkeypatch.setattr(packing, "STREAM_WINDOW", 6)
    taken = iter(make_trees([10] * 100))
    next(choose_packing(True, True, stream=True)(taken, MAX_SEQ_LEN))
    assert len(list(taken)) == 94
    taken = iter(make_trees([10] * 100))
    next(choose_packing(True, True, stream=False)(taken, MAX_SEQ_LEN))
    assert not list(taken)


def test_greedy_packing_fills_rows_and_takes_many():
    """20,000 solutions of mixed lengths waste at most 2 % of the tokens. A packing that looks at every row for every
    solution would take minutes here."""
    lengths = np.random.default_rng(0).integers(30, 900, 20_000)
    none = np.zeros(0, "int64")
    trees = [lone_tree(Sequence(np.zeros(length, "int32"), none, none.astype("float32"))) for length in lengths]
    rows = list(pack_greedy(trees, 4096))
    assert sum(map(len, rows)) == lengths.sum()
    assert lengths.sum() / (len(rows) * 4096) >= 0.98
    assert max(map(len, rows)) <= 4096


def test_the_settings_choose_the_packing():
    trees = make_trees([20, 20, 4, 4])
    sizes = {
        settings: [len(row) for row in choose_packing(*settings, stream=False)(trees, MAX_SEQ_LEN)]
        for settings in ((False, False), (True, False), (True, True))
    }
    assert sizes == {(False, False): [20, 20, 4, 4], (True, False): [20, 24, 4], (True, True): [24, 24]}


# ---- batches


@quick
@given(st.lists(st.lists(st.integers(1, 8), min_size=1, max_size=3), min_size=1, max_size=4))
def test_a_batch_holds_its_rows_and_padding_sees_itself_alone(lengths_of_rows):
    trees = make_trees([length for lengths in lengths_of_rows for length in lengths])
    remaining, sequences = iter(trees), solutions_of(trees)
    rows = [make_row([next(remaining) for _ in lengths]) for lengths in lengths_of_rows]
    batch = collate(rows, PAD)
    length = max(map(len, rows))
    for number, row in enumerate(rows):
        real = len(row)
        assert batch["input_ids"][number].tolist() == row.ids.tolist() + [PAD] * (length - real)
        assert batch["position_ids"][number, :real].tolist() == row.positions.tolist()
        sees = may_attend(batch["end_row"][number])
        assert (sees[:real, :real] == may_attend(row.end_row)).all()
        assert not sees[:real, real:].any() and not sees[real:, :real].any()
        assert (sees[real:, real:] == np.eye(length - real, dtype=bool)).all()
    if not any(len(row.payload.scored) for row in rows):
        return  # padded with a blank row: below
    assert batch["input_ids"].reshape(-1)[batch["scored"]].tolist() == [s.ids[k] for s in sequences for k in s.scored]
    targets = [target for s in sequences for target in s.labels]
    assert batch["targets"].tolist() == batch["labels"].tolist() == targets
    assert batch["label_at"].tolist() == list(range(len(targets)))
    assert batch["solutions"].tolist() == [n for n, s in enumerate(sequences) for _ in s.scored]
    assert batch["weights"].tolist() == [1.0] * len(batch["scored"])
    assert batch["tokens"] == sum(map(len, sequences))
    assert batch["solution_count"] == len(sequences)


@pytest.mark.parametrize("rows", [0, 2])
def test_a_batch_without_labels_has_one_scored_position_of_no_weight(rows):
    """A rank without data must compute a finite zero loss and stay in step with the others: an empty scored index
    would be a mean over nothing."""
    none = np.zeros(0, "int64")
    tree = lone_tree(Sequence(np.array([1, 2]), none, none.astype("float32")))
    batch = collate([make_row([tree])] * rows, PAD)
    assert batch["weights"].tolist() == [0.0]
    for name in ("scored", "labels", "targets", "label_at", "solutions", "error_cut", "texts"):
        assert len(batch[name]) == 1, name
    assert batch["scored"][0] < batch["input_ids"].size
    assert (batch["end_row"] > np.arange(batch["end_row"].shape[1])).all()  # every token sees itself
    assert batch["tokens"] == 2 * rows and batch["solution_count"] == rows
    labelled = collate([make_row(make_trees([9]))], PAD)
    assert {name: array.dtype for name, array in batch.items()} == {n: a.dtype for n, a in labelled.items()}


def test_a_rank_without_pairs_has_one_pair_of_no_weight():
    batch = collate([], PAD, kind=Pairs)
    assert batch["pair_weights"].tolist() == [0.0]
    assert [len(batch[name]) for name in ("scored", "chosen", "rejected", "margins")] == [1, 1, 1, 1]
    answers = [Sequence(np.array([1, n]), np.array([1]), np.zeros(1, "float32"), 1, 0.0) for n in (2, 3)]
    pair = collate([make_row([lone_tree(Pair(*answers, 0.0, 1.0))])], PAD)
    assert {name: array.dtype for name, array in batch.items()} == {n: a.dtype for n, a in pair.items()}


@pytest.mark.parametrize(("multiple", "least", "length"), [(1, 0, 9), (4, 0, 12), (3, 0, 9), (1, 11, 11), (4, 13, 16)])
def test_a_batch_is_as_long_as_is_asked_for_and_else_the_same(multiple, least, length):
    """Sequence parallelism divides rows among ranks, pipelines want them of one length. What is scored stands in the
    same tokens."""
    rows = [make_row(make_trees([9, 5])[:1]), make_row(make_trees([7], seed=3))]
    plain, longer = collate(rows, PAD), collate(rows, PAD, multiple, least_tokens=least)
    assert longer["input_ids"].shape == longer["position_ids"].shape == longer["end_row"].shape == (2, length)
    for name in ("input_ids", "position_ids", "end_row"):
        assert (longer[name][:, :9] == plain[name]).all()
    assert (longer["input_ids"][:, 9:] == PAD).all()
    assert (longer["end_row"][:, 9:] == np.arange(10, length + 1)).all()  # each sees itself alone
    places = [(at // length, at % length) for at in longer["scored"]]
    assert places == [(at // 9, at % 9) for at in plain["scored"]]
    for name in plain.keys() - {"input_ids", "position_ids", "end_row", "scored"}:
        assert (longer[name] == plain[name]).all(), name


def test_rows_up_to_the_least_number_are_blank_and_count_nothing():
    rows = [make_row(make_trees([9]))]
    plain, batch = collate(rows, PAD), collate(rows, PAD, least_rows=3)
    labels = len(plain["weights"])
    assert batch["input_ids"].shape == (3, 9) and (batch["input_ids"][1:] == PAD).all()
    assert batch["weights"].tolist() == plain["weights"].tolist() + [0.0, 0.0]
    assert batch["scored"].tolist() == [*plain["scored"], 9, 18]
    assert batch["label_at"].tolist() == [*range(labels + 2)]
    assert batch["tokens"] == 9 and batch["solution_count"] == 1
    assert collate(rows, PAD, least_rows=1)["input_ids"].shape == (1, 9)


@pytest.mark.parametrize("labelled", [True, False])
def test_no_rows_at_all_and_rows_without_labels_have_the_shape_that_is_asked_for(labelled):
    """A blank row that is needed for its label of no weight does not come on top of those that are there for the
    shape."""
    none = np.zeros(0, "int64")
    tree = lone_tree(Sequence(np.array([1, 2]), none, none.astype("float32")))
    rows = [make_row(make_trees([6]) if labelled else [tree])]
    for some in ([], rows):
        batch = collate(some, PAD, multiple=4, least_rows=2, least_tokens=9)
        assert batch["input_ids"].shape == batch["end_row"].shape == (2, 12)
        assert batch["tokens"] == sum(map(len, some)) and len(batch["scored"]) >= 1
        assert batch["scored"].max() < 24
        assert collate(some, PAD, multiple=4)["input_ids"].shape[1] % 4 == 0
