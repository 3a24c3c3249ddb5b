"""Requests that wait are computed together; none is lost, and there is room for so many."""

import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest

from llm.serving.batching import Batcher, Overloaded

SECONDS = 20


def request(*lengths: int) -> list:
    """Solutions of so many tokens."""
    return [[np.zeros(length)] for length in lengths]


class Model:
    """Scores a solution by its length; each batch waits for `go`."""

    def __init__(self):
        self.batches, self.go, self.computing = [], threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, encoded):
        self.computing.release()
        assert self.go.acquire(timeout=SECONDS)
        self.batches.append(len(encoded))
        if any(len(sequences[0]) == 13 for sequences in encoded):
            raise ZeroDivisionError
        return [len(sequences[0]) for sequences in encoded]


@pytest.fixture
def model():
    model = Model()
    yield model
    model.go.release(100)


def busy(model: Model, **limits) -> Batcher:
    """With one request in the model."""
    batcher = Batcher(model, **{"waiting_tokens": 100, "batch_tokens": 50} | limits)
    batcher.submit(request(1))
    assert model.computing.acquire(timeout=SECONDS)
    return batcher


def test_what_waits_is_computed_together_and_everyone_gets_their_own(model):
    batcher = busy(model)
    waiting = [batcher.submit(request(*lengths)) for lengths in ((2, 3), (4,), (5, 6, 7))]
    model.go.release(2)
    assert [one.result(SECONDS) for one in waiting] == [[2, 3], [4], [5, 6, 7]]
    assert model.batches == [1, 6]


def test_a_batch_has_so_many_tokens_or_one_request(model):
    batcher = busy(model)
    waiting = [batcher.submit(request(*lengths)) for lengths in ((30,), (20,), (1,))]
    model.go.release(9)
    assert [one.result(SECONDS) for one in waiting] == [[30], [20], [1]] and model.batches == [1, 2, 1]


def test_there_is_room_for_so_many_tokens_and_for_one_request_of_any_size(model):
    batcher = busy(model)
    large = batcher.submit(request(500))
    with pytest.raises(Overloaded):
        batcher.submit(request(1))
    model.go.release(9)
    assert large.result(SECONDS) == [500]
    assert batcher.submit(request(90)).result(SECONDS) == [90] and batcher.tokens_waiting == 0


def test_a_failure_is_that_of_its_batch_alone(model):
    batcher = busy(model)
    failing = batcher.submit(request(13))
    model.go.release(9)
    with pytest.raises(ZeroDivisionError):
        failing.result(SECONDS)
    assert batcher.submit(request(2)).result(SECONDS) == [2]


def test_who_gave_up_is_not_computed(model):
    batcher = busy(model)
    given_up, other = batcher.submit(request(5)), batcher.submit(request(6))
    assert given_up.cancel()
    model.go.release(9)
    assert other.result(SECONDS) == [6] and model.batches == [1, 1]
    with pytest.raises(CancelledError):
        given_up.result(0)


def test_closing_computes_what_was_accepted(model):
    batcher = busy(model)
    waiting = batcher.submit(request(3))
    model.go.release(9)
    batcher.close()
    assert waiting.result(0) == [3]
    with pytest.raises(Overloaded):
        batcher.submit(request(1))
