"""Whole runs with heads of the model's own: a new one or a published model's, all weights or adapters; what they leave
is scored, merged, exported and resumed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm.alignment.rm.flashmask.run_reward import main
from llm.core.checkpoint.checkpoints import IDENTITY, mark_complete
from llm.core.model.head.head_kinds import KINDS, TRAINED
from llm.evaluation.calibrate import main as calibrate
from llm.evaluation.evaluate import main as evaluate
from llm.export.merging import merge
from llm.scoring.score import main as score
from llm.scoring.scorer import Scorer
from tests import factories
from tests.alignment.rm.conftest import new
from tests.alignment.rm.layout_runs import ONE, train
from tests.core import model_folders, numpy_forward
from tests.export.models import OUTCOME_TEXT, QUESTION, STEPS, TEXT
from tests.export.reading import export, hidden_states, scores_of
from tests.runs import assert_same_runs, refusal, train_ranks

pytestmark = pytest.mark.runs

OWN = TRAINED[1:]
SHORT = {"max_steps": 2, "save_steps": 2, "eval_steps": 2, "load_best_model_at_end": False, "learning_rate": 0.01}
AT_RATE_0 = {"max_steps": 1, "warmup_steps": 1, "do_eval": False, "load_best_model_at_end": False}


def published(folder, kind: str, tokenizer, **more):
    """A model with a head of this kind and no LM head, in Hugging Face's form; its weights."""
    config = model_folders.QWEN2 | {"vocab_size": len(tokenizer), "max_position_embeddings": 512, **more}
    weights = model_folders.random_weights(config) | model_folders.weights_of_head(kind, config["hidden_size"])
    del weights["lm_head.weight"]
    model_folders.write(folder, config | {"architectures": ["Qwen2ForTokenClassification"]}, weights)
    tokenizer.save_pretrained(str(folder))
    return weights


def weights_in(folder) -> dict[str, np.ndarray]:
    return {name: array for file in folder.glob("*.safetensors") for name, array in load_file(file).items()}


# ---- what a run leaves


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("head", OWN)
def test_what_a_run_leaves_scores_as_it_was_evaluated(settings_of, tiny, tmp_path, head, lora):
    """The model, its last checkpoint and, of adapters, the model that they are merged into. The head has trained."""
    results = main(settings_of(**SHORT | new(head), warmup_steps=0, lora=lora, max_seq_len=512))
    out, records = tmp_path / "out", factories.read_lines(tiny / "dev.jsonl")
    of_out, of_checkpoint = (Scorer.load(folder).score(records) for folder in (out, out / "checkpoint-2"))
    losses = [loss_of(one, record["labels"]) for one, record in zip(of_out, records, strict=True)]
    assert np.mean(np.concatenate(losses)) == pytest.approx(results["eval_loss"], rel=1e-5)
    expected = np.concatenate([scores.log_odds for scores in of_out])
    np.testing.assert_allclose(np.concatenate([scores.log_odds for scores in of_checkpoint]), expected, atol=1e-6)
    held = weights_in(out)
    of_head = KINDS[head].shapes(32)
    assert {name: list(held[name].shape) for name in of_head} == of_head
    assert all(held[name].any() for name in of_head if name.endswith("bias"))  # they started at 0
    assert "lm_head.weight" not in held and ("llama.norm.weight" in held) == (not lora)
    if lora:
        merge(out, tmp_path / "merged")
        of_merged = Scorer.load(tmp_path / "merged").score(records)
        np.testing.assert_allclose(np.concatenate([scores.log_odds for scores in of_merged]), expected, atol=1e-5)


def loss_of(scores, labels) -> list[float]:
    """Of each step: the cross entropy, or with quantiles the pinball loss."""
    right = [label == "+" for label in labels]
    if scores.interval is None:
        return [-np.log(p if is_right else 1 - p) for p, is_right in zip(scores.steps, right, strict=True)]
    rewards_K3 = np.stack([scores.interval[0], scores.log_odds, scores.interval[1]], axis=-1)
    return [numpy_forward.pinball_loss(one[None], [y]) for one, y in zip(rewards_K3, right, strict=True)]


def test_intervals_are_scored_evaluated_and_written(settings_of, tiny, tmp_path):
    """Coverage and width are the same in training's evaluation, in `evaluate steps`, and from what `score` writes."""
    results = main(settings_of(**SHORT | new("quantile"), warmup_steps=0, max_seq_len=512))
    model, dev, scores = tmp_path / "out", tiny / "dev.jsonl", tmp_path / "scores.jsonl"
    evaluate(["steps", str(model), str(dev), "--output", str(tmp_path / "by_model")])
    score([str(model), str(dev), str(scores)])
    evaluate(["steps", str(dev), "--scores", str(scores), "--output", str(tmp_path / "given")])
    for folder in ("by_model", "given"):
        (found,) = json.loads((tmp_path / folder / "results.json").read_text())["models"].values()
        overall = found["results"]["intervals"]["all"]
        assert overall["steps"] == results["eval_steps"]
        for name in ("coverage", "interval_width"):
            assert overall[name] == pytest.approx(results[f"eval_{name}"], rel=1e-4)
    for row in factories.read_lines(scores):
        written = row["scores"]
        assert all(a < b < c for a, b, c in zip(written["low"], written["steps"], written["high"], strict=True))
    with pytest.raises(SystemExit):
        calibrate([str(model), str(dev), "--output", str(tmp_path / "calibrated")])


def test_preferences_leave_the_last_bias_and_so_a_sequence_classifier(settings_of, tiny, tmp_path, capsys):
    """Differences of rewards do not depend on it; what its gradient holds is rounding."""
    out = tmp_path / "out"
    main(settings_of(**factories.pairs_of(tiny) | SHORT | new("value"), warmup_steps=0))
    assert weights_in(out)["v_head.summary.weight"].any() and not weights_in(out)["v_head.summary.bias"].any()
    weights = export(out, tmp_path / "classifier", "sequence-classification")
    (hidden_E,) = hidden_states(tmp_path / "classifier", weights, OUTCOME_TEXT)
    np.testing.assert_allclose(weights["score.weight"].astype("float64") @ hidden_E, scores_of(out), atol=1e-4)
    centred = {"output_dir": tmp_path / "centred", "reward_centering": 0.1}
    main(settings_of(**factories.pairs_of(tiny) | SHORT | new("value") | centred, warmup_steps=0))
    assert weights_in(tmp_path / "centred")["v_head.summary.bias"].any()


@pytest.mark.distributed
@pytest.mark.parametrize("layout", ["tensor", "sequence", "stage1"])
def test_adapters_and_a_head_train_on_two_ranks_as_in_one_process(data_sets, tiny, tmp_path, layout):
    """Every rank of tensor parallelism has the whole head, and a part of the adapters."""
    settings = data_sets["steps"] | new("mlp") | {"lora": True, "max_steps": 4, "save_steps": 4, "eval_steps": 4}
    folders = [train(tmp_path / name, name, **settings) for name in (ONE, layout)]
    assert_same_runs(*folders, 1e-4)
    records = factories.read_lines(tiny / "dev.jsonl")[:6]
    expected, found = (np.concatenate([one.log_odds for one in Scorer.load(out).score(records)]) for out in folders)
    np.testing.assert_allclose(found, expected, atol=1e-4)


# ---- where a head comes from


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize(
    ("held", "head"),
    [("linear", "linear"), ("mlp", "mlp"), ("value", "value"), ("scalar", "value"), ("quantile", "quantile")],
)
def test_a_published_model_keeps_its_head(settings_of, tokenizer, tmp_path, held, head, lora):
    """After an update at rate 0, the scores are those of a forward in numpy over the published files, and the
    convention of that model reads what was saved as it reads these."""
    folder, out = tmp_path / "published", tmp_path / "out"
    weights, head = published(folder, held, tokenizer), {"scalar": "value"}.get(held, held)
    main(settings_of(model_name_or_path=folder, reward_head=head, lora=lora, **AT_RATE_0))
    hidden = hidden_states(folder, weights, TEXT)
    expected = numpy_forward.reward(held, weights, hidden)
    np.testing.assert_allclose(scores_of(out), expected[:, 1] if held == "quantile" else expected, atol=2e-5)
    convention = {"linear": "trl", "value": "skywork"}.get(held)
    if convention and not lora:
        solution = [{"question": QUESTION, "steps": STEPS}]
        expected, found = (Scorer.load(each, convention=convention).score(solution)[0] for each in (folder, out))
        np.testing.assert_allclose(found.log_odds, expected.log_odds, atol=1e-6)


def test_a_head_is_never_replaced_or_made_up_in_silence(settings_of, tokenizer, tmp_path, capsys):
    published(tmp_path / "p", "linear", tokenizer)
    start = {"model_name_or_path": tmp_path / "p"}
    kept = refusal(capsys, settings_of(**start, **new("linear")))
    assert "init_reward_head: the model in" in kept and "has a linear head" in kept
    missing = refusal(capsys, settings_of(reward_head="mlp"))
    assert "hold no mlp head" in missing and "init_reward_head true" in missing
    assert "keep the head of a reward model" in refusal(capsys, settings_of(**start))
    main(settings_of(**start, **new("mlp"), **AT_RATE_0))  # another kind, and asked for
    assert "score.weight" not in weights_in(tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"init_reward_head": True}, "init_reward_head = true: reward_head is lm"),
        ({"reward_head": "value", "prm_loss": "vocabulary"}, 'prm_loss = "vocabulary": reward_head value knows no'),
        ({"pqm_margin": 2.0}, "pqm_margin = 2.0: applies only to prm_loss pqm"),
        ({"prm_loss": "pqm", "pqm_margin": -1}, "pqm_margin"),
        ({"prm_loss": "pqm", "label_smoothing": 0.1}, "label_smoothing = 0.1: prm_loss pqm ranks"),
        ({"prm_loss": "pqm", "positive_weight": 2.0}, "positive_weight = 2.0: prm_loss pqm ranks"),
        ({"prm_loss": "pqm", "balance_labels": True}, "balance_labels = true: prm_loss pqm ranks"),
        ({"prm_loss": "pqm", "score_last_step_only": True}, "with score_last_step_only true it has one score"),
        ({"prm_loss": "pqm", "process_reward": False}, "with process_reward false it has one score"),
        ({"reward_head": "quantiles"}, "reward_head"),
        ({"prm_loss": "quantile"}, 'prm_loss = "quantile": it trains reward_head quantile alone'),
        (new("quantile") | {"prm_loss": "pqm"}, 'prm_loss = "pqm": reward_head quantile has outputs that no other'),
        (new("quantile") | {"label_smoothing": 0.1}, "label_smoothing = 0.1: prm_loss quantile learns labels as they"),
    ],
)
def test_what_cannot_be_combined_is_refused(settings_of, capsys, changes, reason):
    assert reason in refusal(capsys, settings_of(**changes))


def test_quantiles_are_of_labels(settings_of, tiny, capsys):
    flags = settings_of(**factories.pairs_of(tiny) | new("quantile"))
    assert 'reward_head = "quantile": it learns quantiles of labels' in refusal(capsys, flags)


def test_labels_that_are_neither_right_nor_wrong_cannot_be_ranked(settings_of, tiny, tmp_path, capsys):
    records = factories.read_lines(tiny / "train.jsonl")
    records[6]["labels"][0] = 0.25
    (tmp_path / "soft.jsonl").write_text("\n".join(map(json.dumps, records)))
    for lazy in (False, True):
        flags = settings_of(train_dataset_path=tmp_path / "soft.jsonl", prm_loss="pqm", lazy=lazy)
        message = refusal(capsys, flags)
        assert "1 label of the training data is neither 0 nor 1 (first in" in message and "soft.jsonl:7)" in message


# ---- resuming


@pytest.mark.parametrize(
    "changes", [{"lora": True}, {"prm_loss": "pqm"}, {"unified_checkpoint": False}, {"reward_head": "quantile"}]
)
def test_a_run_resumes_to_the_losses_of_the_run_that_was_not_stopped(settings_of, tmp_path, changes):
    settings = new("mlp") | changes | {"load_best_model_at_end": False}
    # in processes of their own: files that are not unified call the optimiser's state by the order of parameters
    train_ranks(settings_of(output_dir=tmp_path / "straight", **settings), tmp_path, ranks=1)
    checkpoint = tmp_path / "straight/checkpoint-3"
    flags = settings_of(output_dir=tmp_path / "resumed", resume_from_checkpoint=checkpoint, **settings)
    assert f"starts from: {checkpoint}" in train_ranks(flags, tmp_path, ranks=1)
    assert_same_runs(tmp_path / "straight", tmp_path / "resumed", 1e-6)
    straight, resumed = (weights_in(tmp_path / name) for name in ("straight", "resumed"))
    for name, array in straight.items():
        np.testing.assert_allclose(resumed[name], array, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_checkpoint_of_before_there_were_heads_is_resumed(settings_of, tmp_path, capsys):
    main(settings_of(output_dir=tmp_path / "early", load_best_model_at_end=False))
    checkpoint = tmp_path / "early/checkpoint-3"
    known = json.loads((checkpoint / IDENTITY).read_text())
    early = {name: value for name, value in known.items() if name not in ("reward_head", "pqm_margin")}
    assert len(early) == len(known) - 2
    (checkpoint / IDENTITY).write_text(json.dumps(early))
    mark_complete(checkpoint)
    flags = {"resume_from_checkpoint": checkpoint, "load_best_model_at_end": False}
    main(settings_of(output_dir=tmp_path / "resumed", **flags))
    assert_same_runs(tmp_path / "early", tmp_path / "resumed", 1e-6)
    message = refusal(capsys, settings_of(output_dir=tmp_path / "other", **flags, **new("value")))
    assert "reward_head: 'lm' in the checkpoint, 'value' now" in message
