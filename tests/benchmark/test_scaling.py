"""What processes send and hold is what the formulas of docs/scaling.md say."""

import functools
import json
import subprocess
from pathlib import Path

import pytest

from llm.benchmark import run_benchmark
from llm.benchmark.scaling import scaling
from llm.benchmark.scaling.scaling_run import Measure, counted
from tests import forked_rank
from tests.runs import ends_of_ranks


@pytest.mark.runs
@pytest.mark.distributed
def test_two_layouts_of_two_processes_send_and_hold_what_is_modelled(monkeypatch, capsys):
    """Every kind of collective by itself; a pipeline, whose stages differ, and tokens that are cut among ranks. The
    first by Paddle's launcher, the other by forks."""
    monkeypatch.setitem(scaling.RUN, "gradient_accumulation_steps", 2)
    ways = iter([subprocess.run])
    monkeypatch.setattr(scaling.subprocess, "run", lambda *args, **options: next(ways, run_forked)(*args, **options))
    run_benchmark.main(["scaling", "--layouts", "sequence", "pipeline"])
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["layouts"]
    assert [(row["layout"], row["stage"]) for row in rows] == [("sequence", 1), ("pipeline", 1), ("pipeline", 2)]
    for row in rows:
        assert row["sent_ratio"] == pytest.approx(1, abs=0.01), row
        assert row["peak_ratio"] == pytest.approx(1, abs=0.1), row
        for kind, size in row["kinds_modelled"].items():
            assert row["kinds_measured"][kind] == pytest.approx(size, rel=0.05), kind
        assert row["written"] >= row["kinds_measured"].get("send", 0)


def run_forked(command: list[str], cwd: Path, **_) -> subprocess.CompletedProcess:
    """What the launcher would start, by processes that have imported paddle already."""
    ranks, script, words = int(command[command.index("--nproc_per_node") + 1]), command[-4], command[-3:]
    first, *_ = ends_of_ranks(words, cwd, ranks, script=functools.partial(forked_rank.run_script, script))
    return subprocess.CompletedProcess(command, first.code, stdout=first.shown)


def test_a_call_within_a_call_is_counted_once(monkeypatch):
    class Tensor:
        size = 6

        def element_size(self):
            return 4

    inner = counted("all_reduce", 0, lambda group, tensor: None)
    outer = counted("all_gather", 1, lambda group, tensor, parts: inner(group, tensor))
    monkeypatch.setattr(Measure, "is_on", True)
    Measure.sent.clear()
    outer(None, Tensor(), [Tensor(), Tensor()])
    assert dict(Measure.sent) == {"all_gather": 2 * 6 * 4}
    Measure.is_on = False
    outer(None, Tensor(), [Tensor()])
    assert dict(Measure.sent) == {"all_gather": 2 * 6 * 4}


def test_a_run_that_fails_is_an_error_with_what_it_said(tmp_path, monkeypatch):
    ended = subprocess.CompletedProcess([], 3, stdout="no room")
    monkeypatch.setattr(scaling.subprocess, "run", lambda command, **options: ended)
    (tmp_path / "result.0.json").write_text("{}", encoding="utf-8")  # of the layout before
    with pytest.raises(ValueError, match="(?s)exit code 3.*no room"):
        scaling.measure(tmp_path, scaling.RUN, ranks=1, task="reward")
