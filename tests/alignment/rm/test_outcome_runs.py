"""Whole runs of outcome reward models, from labelled records and from preferences."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm.alignment.rm.flashmask.run_reward import main
from tests import factories
from tests.runs import assert_same_runs, history, refusal, train_ranks

pytestmark = pytest.mark.runs

PREFERENCE_KEYS = (
    "accuracy ties margin_mean chosen_reward_mean chosen_reward_std chosen_reward_min chosen_reward_max "
    "rejected_reward_mean rejected_reward_std rejected_reward_min rejected_reward_max pairs"
).split()


@pytest.fixture
def pairs_of(settings_of, tiny):
    """Flags of a short run over preferences, with changes."""
    return lambda **changes: settings_of(**factories.pairs_of(tiny) | changes)


def test_preferences_are_learned_and_measured(pairs_of, tiny, tmp_path):
    """Evaluated on the pairs it trains on, the model comes to prefer the chosen answers."""
    data = {"dev_dataset_path": tiny / "pairs.jsonl", "zero_padding": False, "max_steps": 30, "eval_steps": 30}
    results = main(pairs_of(save_steps=30, **data))
    logs = history(tmp_path / "out")
    assert set(PREFERENCE_KEYS) == {name.removeprefix("eval_") for name in results if "eval_" in name} - {"loss"}
    assert results["eval_pairs"] == 86 and results["eval_accuracy"] > logs[1, False]["accuracy"] + 0.1
    assert results["eval_loss"] < logs[1, False]["loss"]
    assert results["eval_margin_mean"] == pytest.approx(
        results["eval_chosen_reward_mean"] - results["eval_rejected_reward_mean"], abs=1e-4
    )
    for name in ("accuracy", "ties", "margin_mean", "chosen_reward_mean", "rejected_reward_mean", "loss"):
        assert name in logs[1, False]


def test_packing_of_pairs_changes_no_metric(pairs_of, tmp_path):
    found = []
    for number, packing in enumerate(
        (
            {"zero_padding": False, "prefix_sharing": False},
            {},
            {"greedy_zero_padding": True},
            {"lazy": True},
            {"prefix_sharing_window": 2},
            {"prefix_sharing": False, "per_device_eval_batch_size": 1},
        )
    ):
        flags = pairs_of(output_dir=tmp_path / str(number), do_train=False, train_dataset_path=..., **packing)
        found.append(main(flags))
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-4, abs=1e-5)


def test_an_update_over_all_pairs_is_the_same_however_it_is_split_and_packed(pairs_of, tmp_path):
    found = []
    for number, changes in enumerate(
        (
            {"prefix_sharing": False, "zero_padding": False, "per_device_train_batch_size": 100},
            {"per_device_train_batch_size": 100},
            {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 20},
        )
    ):
        out = tmp_path / str(number)
        main(
            pairs_of(
                output_dir=out,
                max_steps=1,
                do_eval=False,
                load_best_model_at_end=False,
                reward_margin=0.2,
                reward_centering=0.01,
                **{"gradient_accumulation_steps": 1} | changes,
            )
        )
        found.append(history(out)[1, False])
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-4)


@pytest.mark.distributed
def test_two_ranks_of_pairs_equal_one_process(pairs_of, tmp_path):
    """The pairs of a pass fill an update and a part of another, in which the second rank has none."""
    changes = {"zero_padding": False, "prefix_sharing": False, "max_steps": 4, "save_steps": 4, "eval_steps": 2}
    main(
        pairs_of(
            output_dir=tmp_path / "one",
            per_device_train_batch_size=50,
            gradient_accumulation_steps=1,
            **changes | {"learning_rate": 1e-4},
        )
    )
    train_ranks(
        pairs_of(
            output_dir=tmp_path / "two",
            per_device_train_batch_size=25,
            gradient_accumulation_steps=1,
            sharding="",
            **changes | {"learning_rate": 1e-4},
        ),
        tmp_path,
    )
    assert_same_runs(tmp_path / "one", tmp_path / "two", 1e-4)


def test_margin_and_centering_count_in_training_and_not_in_the_evaluation(pairs_of, tiny, tmp_path):
    """The first update has no other weights, so its loss tells; a record's own margin counts before the setting."""
    first, evaluated = [], []
    own = [json.loads(line) | {"margin": 0.7} for line in (tiny / "pairs.jsonl").read_text().splitlines()]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(record) + "\n" for record in own))
    for number, changes in enumerate(
        (
            {},
            {"reward_margin": 0.7},
            {"reward_margin": 9.0, "train_dataset_path": tmp_path / "own.jsonl"},
            {"reward_centering": 0.5},
        )
    ):
        out = tmp_path / str(number)
        results = main(
            pairs_of(
                output_dir=out,
                max_steps=1,
                per_device_train_batch_size=50,
                learning_rate=1e-9,
                load_best_model_at_end=False,
                **changes,
            )
        )
        first.append(history(out)[1, False]["loss"])
        evaluated.append(results["eval_loss"])
    assert first[1] > first[0] + 0.05 and first[2] == pytest.approx(first[1], rel=1e-6) and first[3] > first[0]
    assert evaluated == pytest.approx([evaluated[0]] * 4, rel=1e-5)


def test_the_scorer_gives_the_rewards_of_the_evaluation(pairs_of, tiny, tmp_path):
    from llm.scoring.scorer import Scorer

    results = main(pairs_of(max_steps=2))
    scorer, hits, chosen = Scorer.load(tmp_path / "out"), [], []
    for line in (tiny / "dev_pairs.jsonl").read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        better = pair["sort"].index(max(pair["sort"]))
        rewards = [scores.reward for scores in scorer.score([pair])]
        hits.append(rewards[better] > rewards[1 - better])
        chosen.append(rewards[better])
    assert np.mean(hits) == pytest.approx(results["eval_accuracy"])
    assert np.mean(chosen) == pytest.approx(results["eval_chosen_reward_mean"], rel=1e-4)


def test_long_answers_are_cut_and_counted(pairs_of, capsys):
    main(pairs_of(max_seq_len=90, max_prompt_len=40, max_steps=1, load_best_model_at_end=False))
    shown = capsys.readouterr().out
    assert "answers lost" in shown and "pairs of answers" in shown


def test_outcomes_of_labelled_records_are_measured_by_answer(settings_of, tiny, tmp_path):
    results = main(settings_of(process_reward=False))
    assert results["eval_answers"] == 24 and "eval_steps" not in results and "eval_first_error_accuracy" not in results
    for name in ("accuracy", "auc", "f1", "precision", "recall", "ece"):
        assert f"eval_{name}" in results


def test_a_process_reward_model_asked_of_preferences_is_refused_with_both_names(pairs_of, capsys):
    message = refusal(capsys, pairs_of(process_reward=True))
    for text in ("process_reward true", "preference record", "labelled record", "pairs.jsonl:1", "false"):
        assert text in message


def test_data_of_two_forms_is_refused_with_both_names(pairs_of, settings_of, tiny, tmp_path, capsys):
    message = refusal(capsys, pairs_of(dev_dataset_path=tiny / "dev.jsonl"))
    assert "different forms" in message and "labelled record" in message and "preference record" in message
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text((tiny / "dev_pairs.jsonl").read_text() + (tiny / "dev.jsonl").read_text())
    message = refusal(capsys, pairs_of(train_dataset_path=mixed, skip_bad_records=True))
    assert "24 of 41 records" in message and "labelled record" in message and "give data of one form" in message


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"prm_loss": "vocabulary"}, "prm_loss"),
        ({"label_smoothing": 0.1, "balance_labels": True}, "balance_labels"),
        ({"positive_weight": 2.0}, "positive_weight"),
        ({"metric_for_best_model": "auc"}, "metric_for_best_model"),
        ({"score_last_step_only": True}, "score_last_step_only"),
    ],
)
def test_settings_of_labels_are_refused_beside_preferences(pairs_of, capsys, changes, told):
    assert told in refusal(capsys, pairs_of(**changes))


def test_held_out_data_that_says_no_form_is_told_what_it_lacks(pairs_of, tmp_path, capsys):
    """And is not called a labelled record, which it is not."""
    (tmp_path / "typo.jsonl").write_text(json.dumps({"src": "q", "respons": ["a", "b"], "sorts": [1, 0]}))
    message = refusal(capsys, pairs_of(dev_dataset_path=tmp_path / "typo.jsonl"))
    assert "missing key (no response, sort)" in message and "different forms" not in message


def test_what_a_stream_met_is_told_after_its_first_pass_and_other_data_is_known(pairs_of, tiny, tmp_path, capsys):
    """What is cut, of the held-out data before training; pairs that are turned round are other data."""
    data = tmp_path / "pairs.jsonl"
    data.write_text((tiny / "pairs.jsonl").read_text())
    changes = {"train_dataset_path": data, "lazy": True, "max_seq_len": 90, "max_prompt_len": 40}
    main(pairs_of(**changes))
    shown = capsys.readouterr().out
    before, after = shown.split("updates to run")
    training, held_out = before.split("held-out data:")
    assert "answers lost" in held_out and "answers lost" not in training
    assert "answers lost" in after.split("as far as it was read:")[1]
    turned = [json.loads(line) for line in data.read_text().splitlines()]
    data.write_text("".join(json.dumps(pair | {"sort": pair["sort"][::-1]}) + "\n" for pair in turned))
    assert "data:" in refusal(capsys, pairs_of(**changes))


@pytest.mark.parametrize("name", ["reward_margin", "reward_centering"])
def test_settings_of_preferences_are_refused_beside_labels(settings_of, capsys, name):
    assert name in refusal(capsys, settings_of(**{name: 0.5}))
    assert name in refusal(capsys, settings_of(process_reward=False, **{name: 0.5}))


def test_the_best_checkpoint_by_a_metric_of_pairs(pairs_of, tmp_path):
    main(pairs_of(metric_for_best_model="accuracy"))
    state = json.loads((tmp_path / "out" / "trainer_state.json").read_text())
    losses = {step: log["eval_accuracy"] for (step, evaluation), log in history(tmp_path / "out").items() if evaluation}
    assert state["best_metric"] == max(losses.values())


def test_ties_are_no_hits(pairs_of, tiny, tokens, tmp_path):
    """A head whose two rows are the same gives every answer the reward 0, in training as in the evaluation."""
    model = shutil.copytree(tiny / "model", tmp_path / "model")
    (file,) = model.glob("*.safetensors")
    weights = load_file(file)
    weights["lm_head.weight"][:, tokens.negative] = weights["lm_head.weight"][:, tokens.positive]
    save_file(weights, file, metadata={"format": "np"})
    results = main(pairs_of(model_name_or_path=model, max_steps=1, load_best_model_at_end=False, learning_rate=1e-9))
    log = history(tmp_path / "out")[1, False]
    assert (results["eval_accuracy"], results["eval_ties"], results["eval_chosen_reward_std"]) == (0.0, 1.0, 0.0)
    assert (log["accuracy"], log["ties"]) == (0.0, 1.0)
