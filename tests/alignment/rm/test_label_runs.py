"""Whole runs with soft, missing and weighted labels."""

import json
import re

import pytest

from llm.alignment.rm.flashmask.run_reward import main
from tests.runs import assert_same_runs, history, refusal

pytestmark = pytest.mark.runs

ONE_UPDATE = {
    "max_steps": 1,
    "per_device_train_batch_size": 200,
    "gradient_accumulation_steps": 1,
    "do_eval": False,
    "load_best_model_at_end": False,
    "zero_padding": False,
}


@pytest.fixture
def data_of(tiny, tmp_path):
    """A file of the training records, each changed by a function (index, record) -> a list of records."""

    def write(name, change):
        records = [json.loads(line) for line in (tiny / "train.jsonl").read_text(encoding="utf-8").splitlines()]
        changed = [new for index, record in enumerate(records) for new in change(index, record)]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in changed), encoding="utf-8")
        return path

    return write


def first_update(settings_of, tmp_path, name, **changes) -> dict:
    main(settings_of(output_dir=tmp_path / name, **ONE_UPDATE | changes))
    return history(tmp_path / name)[1, False]


def test_a_weight_of_two_is_the_record_twice(settings_of, data_of, tmp_path):
    def weighed(index, record):
        return [record | {"weight": 1 + index % 2}]

    def repeated(index, record):
        return [record] * (1 + index % 2)

    found = [
        first_update(settings_of, tmp_path, name, train_dataset_path=data_of(name, kind), **packing)
        for name, kind, packing in (
            ("weighed", weighed, {}),
            ("repeated", repeated, {}),
            ("weighed alone", weighed, {"prefix_sharing": False}),
        )
    ]
    for other in found[1:]:
        assert other["loss"] == pytest.approx(found[0]["loss"], rel=1e-5)
        assert other["gradient_norm"] == pytest.approx(found[0]["gradient_norm"], rel=1e-4)


def test_a_soft_label_is_the_mean_of_hard_ones(settings_of, data_of, tmp_path):
    """Monte-Carlo values: 0.25 is one "+" and three "-" on the same step."""

    def soft(index, record):
        return [record | {"labels": [0.25] * len(record["labels"])}]

    def hard(index, record):
        return [record | {"labels": [label] * len(record["labels"])} for label in "+---"]

    one, other = (
        first_update(settings_of, tmp_path, kind.__name__, train_dataset_path=data_of(kind.__name__, kind))
        for kind in (soft, hard)
    )
    assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-4)


def test_steps_without_a_label_are_not_scored(settings_of, data_of, tmp_path, capsys):
    """Only the last step's label: the same as score_last_step_only, and records without any are dropped and counted."""

    def last(index, record):
        return [record | {"labels": [None] * (len(record["labels"]) - 1) + record["labels"][-1:]}]

    def none(index, record):
        return last(index, record) if index else [record | {"labels": [None] * len(record["labels"])}]

    written = first_update(settings_of, tmp_path, "last", train_dataset_path=data_of("last", last))
    assert "120 scored steps" in capsys.readouterr().out
    assert written == first_update(settings_of, tmp_path, "setting", score_last_step_only=True)
    first_update(settings_of, tmp_path, "none", train_dataset_path=data_of("none", none))
    assert "1 record left out: without a label to learn from" in capsys.readouterr().out


def test_an_evaluation_takes_labels_as_they_are(settings_of, data_of, tmp_path):
    """Weights, smoothing and balance are of training: runs with others compare."""
    soft = data_of("soft", lambda index, record: [record | {"labels": [0.75] * len(record["labels"]), "weight": 5}])
    found, weighed = [], {"label_smoothing": 0.4, "positive_weight": 3.0}
    for number, changes in enumerate(({}, weighed, {"prm_loss": "vocabulary"})):
        flags = settings_of(output_dir=tmp_path / str(number), do_train=False, dev_dataset_path=soft, **changes)
        results = main(flags)
        assert results["eval_positive_share"] == 1.0 and results["eval_auc"] is None
        found.append({name: value for name, value in results.items() if value is not None})
    assert found[0] == pytest.approx(found[1], rel=1e-5) and found[0] == pytest.approx(found[2], rel=1e-5)


def test_balanced_labels_are_the_weight_that_is_shown(settings_of, tmp_path, capsys):
    balanced = first_update(settings_of, tmp_path, "balanced", balance_labels=True)
    shown = capsys.readouterr().out
    weight = float(shown.split("the positive part of a label has weight ")[1].split(",")[0])
    assert weight < 1  # most steps are "+"
    weighed = first_update(settings_of, tmp_path, "weighed", positive_weight=weight)
    assert balanced["loss"] == pytest.approx(weighed["loss"], rel=1e-3)
    lazy = first_update(settings_of, tmp_path, "lazy", balance_labels=True, lazy=True)
    assert lazy["loss"] == pytest.approx(balanced["loss"], rel=1e-5)


def test_balance_counts_records_by_their_weight(settings_of, data_of, tmp_path, capsys):
    path = data_of("weighed", lambda index, record: [record | {"weight": 1 + index % 3}])
    first_update(settings_of, tmp_path, "balanced", train_dataset_path=path, balance_labels=True)
    shown = float(capsys.readouterr().out.split("the positive part of a label has weight ")[1].split(",")[0])
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    positive, negative = (sum(r["weight"] * r["labels"].count(label) for r in records) for label in "+-")
    assert shown == pytest.approx(negative / positive, rel=1e-3)


@pytest.mark.parametrize("lazy", [False, True])
def test_only_labels_that_are_scored_are_balanced(settings_of, data_of, tmp_path, capsys, lazy):
    """Most "-" are at the ends of solutions, and are cut off here."""

    def late(index, record):
        return [record | {"labels": ["+"] * (len(record["labels"]) - 1) + ["-"]}]

    changes = {"train_dataset_path": data_of("late", late), "max_seq_len": 120, "max_prompt_len": 60, "lazy": lazy}
    first_update(settings_of, tmp_path, "cut", balance_labels=True, prefix_sharing=False, **changes)
    shown = capsys.readouterr().out
    weight = float(shown.split("the positive part of a label has weight ")[1].split(",")[0])
    steps, share = re.search(r"(\d+) scored steps, ([\d.]+)% positive", shown).groups()
    positive = round(int(steps) * float(share) / 100)
    assert weight == pytest.approx((int(steps) - positive) / positive, rel=1e-3)


def test_smoothing_draws_the_loss_away_from_zero(settings_of, tmp_path):
    plain, smooth = (first_update(settings_of, tmp_path, str(share), label_smoothing=share) for share in (0.0, 0.5))
    assert plain["loss"] != pytest.approx(smooth["loss"], rel=1e-3) and plain["accuracy"] == smooth["accuracy"]


def test_the_loss_over_the_vocabulary_trains_and_resumes(settings_of, tmp_path):
    """It starts near log(size of the vocabulary), and learns to name one of the two tokens."""
    main(settings_of(prm_loss="vocabulary", output_dir=tmp_path / "whole", max_steps=9))
    logs = history(tmp_path / "whole")
    assert logs[1, False]["loss"] > 4 and logs[9, False]["loss"] < logs[1, False]["loss"] - 1
    assert logs[9, True]["eval_loss"] < 1.0  # over the two tokens alone
    main(settings_of(prm_loss="vocabulary", output_dir=tmp_path / "again", max_steps=9))
    assert_same_runs(tmp_path / "whole", tmp_path / "again", 0)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"label_smoothing": -0.1}, "label_smoothing"),
        ({"positive_weight": 0}, "positive_weight"),
        ({"balance_labels": True, "positive_weight": 2}, "balance_labels chooses it"),
        ({"prm_loss": "tokens"}, "prm_loss"),
    ],
)
def test_label_settings_that_cannot_be_are_refused(settings_of, capsys, changes, told):
    assert told in refusal(capsys, settings_of(**changes))


def test_an_evaluation_that_leaves_the_metric_undefined_chooses_nothing_and_says_so(settings_of, data_of, capsys):
    path = data_of("same", lambda index, record: [record | {"labels": ["+"] * len(record["labels"])}])
    main(settings_of(dev_dataset_path=path, metric_for_best_model="auc"))
    assert "no evaluation had a auc" in capsys.readouterr().out


def test_the_metric_of_the_best_model_does_not_matter_where_none_is_chosen(settings_of):
    main(settings_of(metric_for_best_model="f1", do_eval=False, load_best_model_at_end=False, max_steps=1))


def test_labels_that_are_all_null_are_told_with_advice_that_helps(settings_of, data_of, capsys):
    path = data_of("null", lambda index, record: [record | {"labels": [None] * len(record["labels"])}])
    message = refusal(capsys, settings_of(train_dataset_path=path))
    assert "120 records without a label to learn from. Give data that has something to learn from." in message


def test_data_of_one_kind_cannot_be_balanced(settings_of, data_of, capsys):
    path = data_of("same", lambda index, record: [record | {"labels": ["+"] * len(record["labels"])}])
    assert "nothing to balance" in refusal(capsys, settings_of(train_dataset_path=path, balance_labels=True))
