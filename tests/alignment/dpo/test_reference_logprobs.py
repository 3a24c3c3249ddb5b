"""What a reference says ahead of a training is what it says while the policy trains, or the file is refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llm.alignment.dpo.reference import ask_ahead, store
from llm.alignment.dpo.reference_logprobs import main as ask
from llm.alignment.dpo.run_dpo import main as train
from tests.runs import assert_same_runs, refusal, train_ranks

pytestmark = pytest.mark.runs


@pytest.fixture
def file(tmp_path):
    return tmp_path / "reference.safetensors"


def test_a_training_with_the_file_is_one_with_the_model(flags_of, tmp_path, file, other_model):
    other = {"reference_model_name_or_path": other_model}
    ask(flags_of("ask", **other, reference_logprobs=file))
    train(flags_of("asked now", **other))
    train(flags_of("asked ahead", **other, reference_logprobs=file))
    assert_same_runs(tmp_path / "asked now/out", tmp_path / "asked ahead/out", tolerance=1e-5)


def test_a_command_that_was_ended_goes_on(flags_of, tmp_path, file, monkeypatch):
    """From the parts that are whole; the third was being computed, and the second is damaged since."""
    whole = tmp_path / "whole.safetensors"
    asked, log_p_of, end_at = [], ask_ahead._log_p_of, 0

    def counted(run, model, rows):
        asked.append(len(rows))
        if len(asked) == end_at:
            raise KeyboardInterrupt
        yield from log_p_of(run, model, rows)

    monkeypatch.setattr(ask_ahead, "_log_p_of", counted)
    ask(flags_of("whole", reference_logprobs=whole))
    (rows,), asked, end_at = asked, [], 3
    monkeypatch.setattr(ask_ahead, "ROWS_OF_PART", 5)
    with pytest.raises(SystemExit):
        ask(flags_of("ended", reference_logprobs=file))
    assert not file.exists()
    (parts,) = tmp_path.glob("*.parts")
    damaged = sorted(parts.iterdir())[1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    asked, end_at = [], 0
    ask(flags_of("again", reference_logprobs=file))
    (_, before), (_, after) = (store.read(one) for one in (whole, file))
    assert sum(asked) == rows - 5
    np.testing.assert_array_equal(before.keys, after.keys)
    np.testing.assert_allclose(before.log_p, after.log_p, rtol=1e-6)
    assert not parts.exists()


def test_what_does_not_belong_to_the_run_is_refused_by_name(
    flags_of, tmp_path, file, other_model, capsys, compared_answers
):
    assert "is not there. Run python -m llm reference-logprobs" in refusal(
        capsys, flags_of("none", reference_logprobs=file), train
    )
    ask(flags_of("ask", reference_logprobs=file))
    other = {"reference_model_name_or_path": other_model}
    for command in (train, ask):
        assert f"{file}" in refusal(capsys, flags_of("model", **other, reference_logprobs=file), command)

    more = tmp_path / "more.jsonl"
    added = json.dumps({"prompt": "8 + 1 =\n", "chosen": "9", "rejected": "8"})
    more.write_text(compared_answers["train_dataset_path"].read_text() + "\n" + added)
    changed = {"train_dataset_path": more, "reference_logprobs": file}
    shown = refusal(capsys, flags_of("data", **changed), train)
    assert f"{file} is stale" in shown and "more.jsonl:33" in shown and "2 of 2 answers" in shown
    _, before = store.read(file)
    ask(flags_of("data", **changed))
    _, after = store.read(file)
    assert len(after.keys) == len(before.keys) + 2

    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    assert f"{file} is damaged" in refusal(capsys, flags_of("data", **changed), train)
    file.write_text("{}")
    assert f"{file} cannot be read" in refusal(capsys, flags_of("data", **changed), train)
    assert "no reference is asked" in refusal(capsys, flags_of("free", reference_free=True, **changed), train)


@pytest.mark.distributed
def test_two_processes_share_the_rows_and_a_pipeline_learns_from_the_file(flags_of, tmp_path, file, other_model):
    whole, other = tmp_path / "whole.safetensors", {"reference_model_name_or_path": other_model}
    ask(flags_of("whole", **other, reference_logprobs=whole))
    train_ranks(flags_of("shared", **other, reference_logprobs=file), tmp_path / "shared", script=ask)
    (_, one), (_, two) = (store.read(each) for each in (whole, file))
    np.testing.assert_array_equal(one.keys, two.keys)
    np.testing.assert_allclose(one.log_p, two.log_p, rtol=1e-6)
    train(flags_of("one", **other))
    in_stages = flags_of("stages", **other, pipeline_parallel_degree=2, reference_logprobs=file)
    train_ranks(in_stages, tmp_path / "stages", script=train)
    assert_same_runs(tmp_path / "one/out", tmp_path / "stages/out", tolerance=1e-4)
