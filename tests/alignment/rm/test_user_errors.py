"""While a run trains, what a user can put right ends it with a message, and a fault of the code with its stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm.alignment.rm.flashmask.reward_objective import LabelObjective
from llm.alignment.rm.flashmask.run_reward import main
from llm.core.checkpoint import checkpoints
from llm.core.run import work
from llm.core.train import evaluator
from llm.core.train.exact_trainer import ExactTrainer
from tests.runs import refusal

pytestmark = pytest.mark.runs


def failing(error: Exception):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (LabelObjective, "loss_and_statistics", ValueError("operands could not be broadcast together")),
        (evaluator, "_judge", ValueError("need at least one array to concatenate")),
        (checkpoints, "mark_complete", KeyError("a name")),
        (work, "write_results", FileNotFoundError(2, "No such file or directory", "internal")),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_fault_of_the_code_is_not_shown_as_if_it_were_the_users(settings_of, monkeypatch, owner, name, error):
    monkeypatch.setattr(owner, name, failing(error))
    with pytest.raises(type(error)) as shown:
        main(settings_of(max_steps=1, save_steps=1, load_best_model_at_end=False))
    assert shown.value is error


def test_what_a_user_can_put_right_is_a_message(settings_of, tiny, tmp_path, monkeypatch, capsys):
    """A full disk outside of checkpoints, and data that was replaced while the run trains."""
    short = {"save_strategy": "no", "load_best_model_at_end": False, "max_steps": 2, "logging_steps": 1}
    monkeypatch.setattr(work, "write_results", failing(OSError(28, "No space left on device", "eval_results.json")))
    message = refusal(capsys, settings_of(**short))
    assert "No space left on device: 'eval_results.json'" in message and "Free some space" in message

    data = tmp_path / "data.jsonl"
    data.write_bytes((tiny / "train.jsonl").read_bytes())

    def replace_data(trainer, *args, **kwargs):
        data.write_text('{"src": 7}\n')
        return train(trainer, *args, **kwargs)

    train = ExactTrainer.train
    monkeypatch.setattr(ExactTrainer, "train", replace_data)
    changes = {"lazy": True, "do_eval": False, "evaluation_strategy": "no", "overwrite_output_dir": True}
    message = refusal(capsys, settings_of(train_dataset_path=data, **short | changes))
    assert "1 of 1 records that were read so far cannot be used" in message and f"{Path(data)}:1" in message
