"""A budget of tokens in place of a number of rows, and the budget that gives updates of about so many solutions."""

from __future__ import annotations

import io

import numpy as np
import pytest

from llm.alignment.rm.flashmask.data import rows_of
from llm.alignment.rm.flashmask.reward_run import resolve_run
from llm.alignment.rm.flashmask.reward_task import read_format
from llm.core.rows.batch import collate
from llm.core.rows.update_loader import StepLoader
from llm.tasks.batch_size import choice, main, rows_for
from tests.factories import data_of, write_config
from tests.runs import refusal


def test_solutions_of_updates():
    counts = np.array([3, 1, 2, 2, 5, 1, 9])
    found = choice(counts, rows=1, group_size=2, max_seq_len=100)  # 3+1, 2+2, 5+1, and a 9 that is left over
    assert (found.least, found.mean, found.most, found.tokens) == (4, pytest.approx(14 / 3), 6, 100)
    assert choice(counts, rows=4, group_size=2, max_seq_len=100) is None
    assert rows_for(np.full(10, 4), solutions=25, group_size=2) == 3
    assert rows_for(np.full(10, 4), solutions=1, group_size=2) == 1


def test_a_budget_sets_the_rows_of_a_micro_batch(tiny, tmp_path):
    common = {**data_of(tiny), "max_seq_len": 256, "per_device_train_batch_max_tokens": 600}
    run = resolve_run(write_config(tmp_path / "a", **common), "")
    assert run.training.per_device_train_batch_size == 2
    assert run.rows_per_update == 2 * run.training.gradient_accumulation_steps
    assert any("per_device_train_batch_size: 1 -> 2" in line for line in run.settings.changes)
    resolve_run(write_config(tmp_path / "b", **common, per_device_train_batch_size=2), "")  # the same, said twice


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"per_device_train_batch_max_tokens": 255}, "a row of max_seq_len 256 does not fit; write 256 or more"),
        ({"per_device_train_batch_max_tokens": 256, "zero_padding": False}, "zero_padding is false"),
        ({"per_device_train_batch_max_tokens": 512, "per_device_train_batch_size": 3}, "write 2 or leave it out"),
        ({"per_device_train_batch_max_tokens": 0}, "per_device_train_batch_max_tokens"),
    ],
)
def test_budgets_that_are_refused(tiny, tmp_path, changes, told):
    with pytest.raises(ValueError, match=told):
        resolve_run(write_config(tmp_path / "a", **data_of(tiny), max_seq_len=256, **changes), "")


def test_the_verb_counts_the_solutions_of_the_updates_that_training_makes(tiny, tmp_path, capsys):
    """Smallest and largest against the loader of training itself."""
    words = write_config(tmp_path / "a", **data_of(tiny), max_seq_len=256, gradient_accumulation_steps=2)
    main([*words, "--solutions", "12"])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("*"))
    tokens, rows, mean, least, most = line[1:].split()
    assert int(tokens.replace(",", "")) == 256 * int(rows)
    run = resolve_run(words, "")
    data = rows_of(run.data.train_dataset_path, run.data, read_format(run), run.form, 0.0).rows
    loader = StepLoader(data, lambda rows, **_: collate(rows, 0), int(rows), accumulation=2, seed=run.training.seed)
    updates = []
    for _ in zip(loader, range(2 * (len(data) // (2 * int(rows)))), strict=False):
        updates.append(sum(row.solution_count for row in loader.step_rows))
    of_update = updates[::2]
    assert (int(least), int(most)) == (min(of_update), max(of_update))
    assert float(mean) == pytest.approx(np.mean(of_update), abs=0.05)


def test_it_asks_until_an_empty_line_or_the_end_of_the_input(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("8\nx\n0\n8 4\n8 4 2\n1000000\n"))  # no empty line at its end
    main(write_config(tmp_path / "a", **data_of(tiny), max_seq_len=256))
    out = capsys.readouterr().out
    assert "8 solutions, 8 micro-batches each" in out and "8 solutions, 4 micro-batches each" in out
    assert "must be 1 or more" in out and "x: write one or two whole numbers" in out and "8 4 2: write" in out
    assert "no update of about 1,000,000 solutions" in out and "less than one such update" in out


def test_it_needs_training_data(tiny, tmp_path, capsys):
    words = write_config(tmp_path / "a", **{**data_of(tiny), "do_train": False})
    assert "no training data" in refusal(capsys, [*words, "--solutions", "3"], main)
