"""A loss or gradient that is NaN or infinite: its records, and that every layout obeys nan_policy."""

import json
import re

import numpy as np
import paddle
import pytest
from safetensors.numpy import load_file

from llm.alignment.rm.flashmask.run_reward import main
from llm.core.checkpoint import checkpoints
from tests.alignment.rm.short_runs import LAYOUTS, alone, disturbed, flags_of
from tests.runs import STACK, assert_same_runs, ends_of_ranks, history, refusal, train_ranks

pytestmark = pytest.mark.runs

LINE = 62  # is in the second update, with two ranks in a micro-batch of the second one
BAD = 2
RECORDS = {61, 62, 63, 64}  # all solutions of that line's question, and so its whole micro-batch of one row


@pytest.fixture(scope="module")
def skipped(tiny, tmp_path_factory):
    """What one process made of it with nan_policy skip."""
    folder = tmp_path_factory.mktemp("skipped")
    shown = train_ranks(alone(tiny, folder, nan_policy="skip"), folder, 1, not_a_number={"line": LINE})
    assert told(shown) == [(BAD, "loss", RECORDS)]
    return folder / "out"


def told(shown: str) -> list[tuple[int, str, set[int]]]:
    """(update, what was NaN or infinite, lines of its records) of every such message."""
    found = re.findall(r"update (\d+): its (\w+) is NaN or infinite. Its records: (.*?)\. ", shown)
    return [
        (int(step), what, {int(record.rpartition(":")[2]) for record in records.split(", ")})
        for step, what, records in found
    ]


def state(checkpoint) -> dict[str, np.ndarray]:
    """All weights and moments, by file and name."""
    files = {path.name: load_file(path) for path in checkpoint.glob("*.safetensors")}
    files |= {path.name: paddle.load(str(path), return_numpy=True) for path in checkpoint.glob("*.pd*")}
    return {
        f"{file} {name}": value
        for file, values in files.items()
        for name, value in values.items()
        if isinstance(value, np.ndarray)
    }


def assert_left_out(out) -> None:
    """The bad update changed no weight and no moment, the others did, and it is counted."""
    first, bad, last = (state(out / f"checkpoint-{step}") for step in (BAD - 1, BAD, BAD + 1))
    assert first.keys() == bad.keys() and any("moment1" in name for name in first)
    for name, value in first.items():
        np.testing.assert_array_equal(value, bad[name], name)
    assert any((value != last[name]).any() for name, value in bad.items())
    assert "loss" not in history(out)[BAD, False] and history(out)[BAD, False]["skipped_updates"] == 1
    results = json.loads((out / "train_results.json").read_text())
    assert (results["train_steps"], results["train_skipped_updates"]) == (3, 1)


def test_one_process_leaves_the_update_out(skipped):
    assert_left_out(skipped)


@pytest.mark.distributed
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_leaves_the_same_update_out(layout, skipped, tiny, tmp_path):
    flags = flags_of(tiny, tmp_path, nan_policy="skip", **LAYOUTS[layout])
    shown = train_ranks(flags, tmp_path, not_a_number={"line": LINE})
    assert told(shown) == [(BAD, "loss", RECORDS)]
    assert_left_out(tmp_path / "out")
    assert_same_runs(skipped, tmp_path / "out", 1e-4)


@pytest.mark.distributed
def test_all_ranks_stop_at_a_loss_that_is_no_number_and_may_go_on_without_it(skipped, tiny, tmp_path):
    for end in ends_of_ranks(flags_of(tiny, tmp_path), tmp_path, not_a_number={"line": LINE}):
        assert end.code == 2 and STACK not in end.shown
        assert told(end.shown) == [(BAD, "loss", RECORDS)]
    assert [path.name for path in checkpoints.all_checkpoints(tmp_path / "out")] == ["checkpoint-1"]
    flags = flags_of(tiny, tmp_path, nan_policy="skip")
    assert "checkpoint-1" in train_ranks(flags, tmp_path, not_a_number={"line": LINE})
    assert_left_out(tmp_path / "out")
    assert_same_runs(skipped, tmp_path / "out", 1e-4)


def test_one_process_stops_with_exit_code_2_and_its_last_checkpoint_is_whole(skipped, tiny, tmp_path, capsys):
    with disturbed(not_a_number={"line": LINE}):
        assert told(refusal(capsys, alone(tiny, tmp_path))) == [(BAD, "loss", RECORDS)]
    assert checkpoints.all_checkpoints(tmp_path / "out") == [tmp_path / "out" / "checkpoint-1"]
    before, after = (state(out / "checkpoint-1") for out in (skipped, tmp_path / "out"))
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], name)


def test_a_gradient_that_is_no_number_names_all_records_of_the_update(tiny, tmp_path, capsys):
    with disturbed(not_a_number={"line": LINE, "gradient": True}):
        main(alone(tiny, tmp_path, nan_policy="skip"))
    [(update, what, records)] = told(capsys.readouterr().out)
    assert (update, what) == (BAD, "gradient")
    assert records > RECORDS and len(records) == 16
    assert_left_out(tmp_path / "out")


@pytest.mark.parametrize("logging_steps", [1, 4])
def test_a_resumed_run_counts_what_was_left_out_before(logging_steps, tiny, tmp_path):
    """Logged before it stopped, or not yet."""
    flags = alone(tiny, tmp_path, nan_policy="skip", logging_steps=logging_steps)
    with disturbed(not_a_number={"line": LINE}, sigterm={"step": BAD}):
        assert main(flags) == {}  # stopped after the third update
        assert main(flags)["train_skipped_updates"] == 1
    assert history(tmp_path / "out")[4, False]["skipped_updates"] == 1


def test_a_run_stopped_before_any_update_was_made_starts_again(tiny, tmp_path, capsys):
    """The optimiser has no state yet that a checkpoint could hold."""
    flags, nan = alone(tiny, tmp_path, nan_policy="skip"), {"line": 70}  # in the first update
    with disturbed(not_a_number=nan, sigterm={"step": 0}):
        assert main(flags) == {}
    assert "after update 1 of 4: nothing is kept" in capsys.readouterr().out
    assert not checkpoints.all_checkpoints(tmp_path / "out")
    with disturbed(not_a_number=nan):
        results = main(flags)
    assert (results["train_steps"], results["train_skipped_updates"]) == (3, 1)
