"""An optimiser step sees the same rows however it is split, and every row once in a pass."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.core.rows.batch import collate
from llm.core.rows.prefix_tree import lone_tree
from llm.core.rows.row import make_row
from llm.core.rows.update_loader import StepLoader
from llm.core.text.encoding import Sequence

PAD = 0
quick = settings(max_examples=15)
SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))  # batch, accumulation, ranks


def make_rows(count: int, length: int | None = 5):
    """Row n has the one id n + 1 and n % 4 scored positions, so that rows weigh differently; without a length, n + 3
    tokens."""
    rows = []
    for number in range(count):
        scored = np.arange(number % 4)
        ids = np.full(length or number + 3, number + 1)
        steps = Sequence(ids, scored, np.ones(len(scored), "float32"), place=f"file:{number}")
        rows.append(make_row([lone_tree(steps)]))
    return rows


def loader_of(rows, sizes, rank=0, **settings) -> StepLoader:
    batch, accumulation, ranks = sizes
    return StepLoader(rows, partial(collate, pad_id=PAD), batch, accumulation, ranks, rank, **settings)


def numbers_of(batch) -> list[int]:
    """Which rows are in a batch; blank ones are none."""
    return [int(ids[0]) - 1 for ids in batch["input_ids"].numpy() if ids[0] != PAD]


def walk(rows, sizes, **settings):
    """Per step the rows of each rank's micro-batches, [step][micro-batch][rank], and the weights that they carry."""
    _, accumulation, ranks = sizes
    by_rank = [list(loader_of(rows, sizes, rank, **settings)) for rank in range(ranks)]
    assert len({len(batches) for batches in by_rank}) == 1, "ranks would wait for one another for ever"
    micro_batches = list(zip(*by_rank, strict=True))
    assert len(micro_batches) % accumulation == 0
    steps = [micro_batches[i : i + accumulation] for i in range(0, len(micro_batches), accumulation)]
    rows_of = [[[numbers_of(batch) for batch in ranks] for ranks in step] for step in steps]
    weights = [{float(batch["step_weight"]) for ranks in step for batch in ranks} for step in steps]
    return rows_of, weights


def flat(step) -> list[int]:
    return [number for ranks in step for rows in ranks for number in rows]


@quick
@given(st.integers(0, 40), SIZES, st.sampled_from([None, 0, 7]))
def test_every_row_comes_exactly_once_in_a_pass(count, sizes, seed):
    steps, _ = walk(make_rows(count), sizes, seed=seed)
    assert sorted(number for step in steps for number in flat(step)) == list(range(count))
    for step in steps[:-1]:
        assert len(flat(step)) == np.prod(sizes)


@pytest.mark.parametrize("count", [24, 29])
def test_a_step_has_the_same_rows_however_it_is_split(count):
    """12 rows a step as batch x accumulation x ranks: the same sets in the same steps, the last short one too."""
    splits = [(12, 1, 1), (1, 12, 1), (1, 1, 12), (3, 4, 1), (4, 1, 3), (3, 2, 2), (2, 2, 3), (1, 3, 4)]
    rows = make_rows(count)
    for seed in (None, 5):
        wanted = [set(flat(step)) for step in walk(rows, splits[0], seed=seed)[0]]
        assert len(wanted) == -(-count // 12)
        for split in splits[1:]:
            assert [set(flat(step)) for step in walk(rows, split, seed=seed)[0]] == wanted, split


@quick
@given(st.integers(1, 40), SIZES)
def test_all_batches_of_a_step_carry_the_weight_of_the_whole_step(count, sizes):
    """By it their losses are divided: over every rank and micro-batch, and only rows that are there."""
    rows = make_rows(count)
    steps, weights = walk(rows, sizes, seed=1)
    for step, found in zip(steps, weights, strict=True):
        assert found == {sum(rows[number].weight for number in flat(step))}


@quick
@given(st.integers(0, 40), SIZES)
def test_a_batch_has_at_most_batch_size_rows_and_micro_batches_fill_in_order(count, sizes):
    """What is missing in the last step is missing at its end: no rank idles while another has rows left to take."""
    steps, _ = walk(make_rows(count), sizes)
    for step in steps:
        lengths = [len(rows) for ranks in step for rows in ranks]
        assert lengths == sorted(lengths, reverse=True) and max(lengths) <= sizes[0]
        assert sum(0 < length < sizes[0] for length in lengths) <= 1


@quick
@given(st.integers(0, 40), SIZES, st.booleans())
def test_the_length_is_the_number_of_micro_batches(count, sizes, shuffled):
    loader = loader_of(make_rows(count), sizes, seed=3 if shuffled else None)
    assert len(loader) == len(list(loader)) == len(loader)


def order(loader) -> list[int]:
    return [number for batch in loader for number in numbers_of(batch)]


def test_the_order_depends_on_the_seed_and_the_pass_and_on_nothing_else():
    """A resumed run must meet the rows of the run that was not stopped, in whatever state numpy's own random numbers
    are by then."""
    rows, sizes = make_rows(50), (4, 1, 1)
    loader = loader_of(rows, sizes, seed=11)
    passes = []
    for salt in (1, 2, 3):
        np.random.seed(salt)
        passes.append(order(loader))
    for number, wanted in enumerate(passes):
        np.random.seed(99)
        assert order(loader_of(rows, sizes, seed=11, first_pass=number)) == wanted
        assert order(loader_of(rows, (2, 3, 1), seed=11, first_pass=number)) == wanted
        assert order(loader_of(rows, sizes, seed=12, first_pass=number)) != wanted
    assert len(set(map(tuple, passes))) == 3
    assert order(loader_of(rows, sizes, seed=None)) == list(range(50))


class Stream:
    """Rows that are made anew in every pass; counts how many were asked for."""

    def __init__(self, count):
        self.count, self.taken = count, 0

    def __iter__(self):
        for row in make_rows(self.count):
            self.taken += 1
            yield row


def test_a_stream_has_no_length_and_is_read_step_by_step():
    stream = Stream(23)
    loader = loader_of(stream, (2, 2, 1))
    with pytest.raises(TypeError):
        len(loader)
    next(iter(loader))
    assert stream.taken == 4
    for _ in range(2):
        assert order(loader) == list(range(23))


def test_a_micro_batch_without_rows_is_blank_and_weighs_nothing():
    """One row for two ranks and two micro-batches: three of the four are blank, with the step's weight all the same."""
    (step,), (weights,) = walk(make_rows(3)[2:], (1, 2, 2))
    assert step == [[[2], []], [[], []]]
    assert weights == {2.0}
    batch = list(loader_of(make_rows(3)[2:], (1, 2, 2), rank=1))[0]
    assert batch["weights"].numpy().tolist() == [0.0] and int(batch["solution_count"]) == 0


@quick
@given(st.integers(2, 20), SIZES)
def test_with_same_shapes_the_micro_batches_of_a_step_are_alike_on_all_ranks(count, sizes):
    """As a pipeline wants them; the step's longest row is in one of them."""
    batch, accumulation, ranks = sizes
    rows = [row for row in make_rows(count, length=None) if row.weight]
    by_rank = [list(loader_of(rows, sizes, rank, same_shapes=True)) for rank in range(ranks)]
    micro_batches = [found for step in zip(*by_rank, strict=True) for found in step]
    per_step = accumulation * ranks
    for number, start in enumerate(range(0, len(micro_batches), per_step)):
        longest = max(map(len, rows[number * batch * per_step :][: batch * per_step]))
        shapes = {tuple(found["input_ids"].shape) for found in micro_batches[start : start + per_step]}
        assert shapes == {(batch, longest)}
    assert walk(rows, sizes, same_shapes=True) == walk(rows, sizes)


def test_without_same_shapes_a_batch_is_as_large_as_its_own_rows():
    shapes = [tuple(batch["input_ids"].shape) for batch in loader_of(make_rows(3, length=None), (2, 2, 1))]
    assert shapes == [(2, 4), (1, 5)]


def test_the_records_of_an_update_are_named_by_micro_batch_and_rank():
    """12 rows: batch 2, accumulation 3, ranks 2. Every rank knows them all; without a place they are all told."""
    for rank in (0, 1):
        loader = loader_of(make_rows(17), (2, 3, 2), rank)
        batches = iter(loader)
        next(batches)
        assert loader.records_of([(0, 0)]) == ["file:0", "file:1"]
        assert loader.records_of([(1, 1), (2, 0)]) == ["file:6", "file:7", "file:8", "file:9"]
        assert loader.records_of([]) == [f"file:{number}" for number in range(12)]
        for _ in range(3):
            next(batches)
        assert loader.records_of([(1, 0)]) == ["file:16"]


def test_a_record_in_several_rows_of_an_update_is_named_once():
    rows = make_rows(2)
    loader = loader_of([*rows, rows[0]], (3, 1, 1))
    next(iter(loader))
    assert loader.records_of([]) == loader.records_of([(0, 0)]) == ["file:0", "file:1"]
