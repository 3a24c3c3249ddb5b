"""Lines of the log on the screen."""

import pytest

from llm.core.train.progress import WIDTH, line_of

SPEED = {
    "learning_rate": 1e-5,
    "gradient_norm": 123.4567,
    "tokens_per_second": 123456.7,
    "solutions_per_second": 12.3,
    "epoch": 0.1234,
}
LABELS = {"loss": 0.123456, "accuracy": 0.9, "accuracy_positive": 0.95, "accuracy_negative": 0.85, **SPEED}
PAIRS = {
    "loss": 0.123456,
    "accuracy": 0.9,
    "ties": 0.01,
    "margin_mean": -12.3456,
    "chosen_reward_mean": -123.4567,
    "rejected_reward_mean": -111.1111,
    **SPEED,
}


@pytest.mark.parametrize("logs", [LABELS, PAIRS])
def test_an_update_is_one_line(logs):
    line = line_of(logs, 9_999, 10_000)
    assert len(line) <= WIDTH and "\n" not in line
    parts = line.split("  ")
    assert parts[:3] == ["update 9999/10000", "loss 0.1235", "acc 0.9000"]
    assert parts[-4:] == ["lr 1.00e-05", "grad 123.46", "tok/s 123457", "epoch 0.12"]


def test_an_evaluation_shows_everything():
    line = line_of({f"eval_{name}": PAIRS[name] for name in ("loss", "ties", "chosen_reward_mean")}, 3, 6)
    assert line == "evaluation after update 3/6  loss 0.1235  ties 0.0100  chosen -123.4567"


def test_what_does_not_fit_goes_to_further_lines_and_no_part_is_cut_or_lost():
    logs = {f"eval_a_long_name_of_a_metric_{number}": number / 7 for number in range(12)}
    lines = line_of(logs, 3, 6).splitlines()
    assert len(lines) > 1 and max(map(len, lines)) <= WIDTH
    assert all(line.startswith("    ") for line in lines[1:])
    shown = [part for line in lines for part in line.strip().split("  ")]
    assert shown[0] == "evaluation after update 3/6"
    assert shown[1:] == [f"a_long_name_of_a_metric_{number} {number / 7:.4f}" for number in range(12)]


@pytest.mark.parametrize("update", [0, 7])
def test_an_evaluation_without_training_is_after_no_update(update):
    assert line_of({"eval_loss": 0.5}, update, 0) == "evaluation  loss 0.5000"


def test_skipped_updates_are_shown():
    assert "skipped_updates 3" in line_of(LABELS | {"skipped_updates": 3}, 5, 10)
