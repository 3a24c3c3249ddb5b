"""A rank that loses another one says so in one message; every other error goes its own way."""

import errno

import paddle.distributed as dist
import pytest

from llm.core.parallel import rank_failure

SIGNS = [
    RuntimeError("[/paddle/third_party/gloo/gloo/transport/tcp/pair.cc:584] TIMEOUT self_rank = 1 pair_rank = 0"),
    RuntimeError("[/paddle/third_party/gloo/gloo/transport/tcp/pair.cc:525] Connection closed by peer [127.0.0.1]:5"),
    ValueError("(InvalidArgument) TCP connection reset by peer. Details: Success."),
    OSError("\n\n(External) NCCL error(6), remote process exited or there was a network error."),
]
OTHERS = [
    RuntimeError("(NotFound) There are no kernels which are registered in the c_identity operator."),
    ValueError("update 3: its loss is NaN or infinite."),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.ETIMEDOUT, "Connection timed out"),  # a network's folder
    KeyError("timed out"),
]


@pytest.fixture
def second_of_two_ranks(monkeypatch):
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(rank_failure, "_let_the_launcher_look", lambda: None)


@pytest.mark.parametrize("error", SIGNS, ids=str)
def test_a_lost_rank_is_told_once_with_what_to_do(error, second_of_two_ranks, capsys):
    with pytest.raises(SystemExit) as stop, rank_failure.reported():
        raise error
    assert stop.value.code == rank_failure.EXIT_CODE
    shown = capsys.readouterr().err
    assert "error: rank 1 cannot continue: another rank has ended" in shown and "Start the same command again" in shown
    assert str(error).strip()[:40] in shown


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_other_errors_pass(error, second_of_two_ranks, capsys):
    with pytest.raises(type(error)) as passed, rank_failure.reported():
        raise error
    assert passed.value is error and not capsys.readouterr().err


@pytest.mark.parametrize("error", SIGNS, ids=str)
def test_a_single_process_has_no_rank_to_lose(error):
    assert not rank_failure.is_sign(error)
