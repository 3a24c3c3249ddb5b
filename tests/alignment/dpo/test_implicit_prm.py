"""An implicit process reward model: labels of answers alone, scores of steps."""

from __future__ import annotations

from functools import partial

import numpy as np
import paddle
import pytest

from llm.alignment.dpo.losses import LossSettings
from llm.alignment.dpo.outcome_objective import OutcomeObjective
from llm.alignment.dpo.reference_logprobs import main as ask
from llm.alignment.dpo.run_dpo import main
from llm.check.check import main as check
from llm.core.model import language_model
from llm.core.records.judged_answers import JudgedAnswer, parse_judged
from llm.core.text.answers import LabelledAnswer
from llm.inspection.inspect_row import main as inspect
from llm.scoring.scorer import Scorer
from tests import factories
from tests.alignment.dpo.direct_losses import sigma
from tests.alignment.dpo.random_pairs import random_pairs
from tests.core.rows.packed_answers import assert_any_packing_gives, gradients_of, log_p_of
from tests.runs import assert_same_runs, refusal

BETA = 0.2
RECORD = {"src": ["1 + 1 ="], "tgt": [], "responses": ["1 + 1 = 2.", "So 2."], "labels": ["+", "-"], "weight": 2}


@pytest.mark.parametrize(
    "record, text, label",
    [
        (RECORD, "1 + 1 = 2.\nSo 2.", 0.0),
        ({"prompt": "1 + 1 =\n", "response": "2", "label": True, "weight": 2}, "2", 1.0),
        ({"prompt": "1 + 1 =\n", "response": " 2", "label": 0.3, "weight": 2}, " 2", 0.3),
    ],
)
def test_an_answer_has_one_label(record, text, label):
    found = parse_judged(record, "a:1")
    assert isinstance(found, JudgedAnswer), found
    assert [message.content for message in found.messages] == ["1 + 1 =\n", text]
    assert (found.label, found.weight, found.place) == (label, 2.0, "a:1")


@pytest.mark.parametrize(
    "record, message",
    [
        ([], "not an object"),
        ({"prompt": "q", "response": "a"}, "missing key (no label)"),
        ({"prompt": "q", "response": " ", "label": 1}, "empty answer"),
        ({"prompt": "q", "response": "a", "label": 2}, "unknown label"),
        ({"prompt": 1, "response": "a", "label": 1}, "prompt[0] is a number"),
        (RECORD | {"labels": ["+", None]}, "no label of the last step"),
        (RECORD | {"labels": ["+"]}, "labels and responses differ in length"),
    ],
)
def test_what_is_wrong_is_said(record, message):
    problems = parse_judged(record, "a:1")
    assert isinstance(problems, list) and message in "\n".join(map(str, problems))


def judged_answers(seed: int) -> list[LabelledAnswer]:
    random = np.random.default_rng(seed)
    answers = [answer for pair in random_pairs(seed) for answer in (pair.chosen, pair.rejected)]  # some several times
    labels = random.choice([0.0, 1.0, 0.3], len(answers)).astype("float32")
    return [
        LabelledAnswer(one.ids, one.scored, labels[n : n + 1], one.prompt_len, float(random.choice([1.0, 2.5])))
        for n, one in enumerate(answers)
    ]


def directly(models, answers: list[LabelledAnswer]) -> tuple[float, np.ndarray]:
    """Each answer by itself, with the derivative of its cross entropy."""
    policy, reference = models
    policy.clear_gradients()
    total = 0.0
    for answer in answers:
        with paddle.no_grad():
            ahead = float(log_p_of(reference, answer))
        log_p, y = log_p_of(policy, answer), float(answer.labels[0])
        p = sigma(BETA * (float(log_p) - ahead))
        total -= answer.weight * (y * np.log(p) + (1 - y) * np.log(1 - p))
        (answer.weight * BETA * (p - y) * log_p).backward()
    return total, gradients_of(policy)


def test_any_packing_gives_loss_and_gradients_of_each_answer_alone(models):
    policy, reference = models
    answers = judged_answers(7)
    loss, gradients = directly(models, answers)
    objective = OutcomeObjective(LossSettings("implicit_prm", BETA, 0.0, 0.0, 0.0, False), has_reference=True)
    objective.reference = partial(language_model.outputs, reference)
    weight = sum(answer.weight for answer in answers)
    assert_any_packing_gives(loss, gradients, policy, answers, objective, 2, weight)


@pytest.fixture
def labelled(tiny):
    """Settings of a training on labels of answers."""
    return factories.data_of(tiny) | {"loss_type": "implicit_prm", "beta": BETA, "learning_rate": 1e-3}


@pytest.mark.runs
@pytest.mark.parametrize("lora", [False, True])
def test_scores_of_steps_add_up_to_what_training_measured(flags_of, labelled, tmp_path, tiny, capsys, lora):
    results = main(flags_of("run", **labelled | {"lora": lora, "learning_rate": 3e-3}))
    assert "24 answers" in " ".join(capsys.readouterr().out.split())
    assert results["eval_answers"] == 24 and 0 < results["eval_accuracy"] <= 1
    scorer = Scorer.load(tmp_path / "run/out", convention="implicit", reference=tiny / "model")
    records = factories.read_lines(tiny / "dev.jsonl")
    scores = scorer.score(records)
    assert [len(one.steps) for one in scores] == [len(record["responses"]) for record in records]
    rewards = np.array([one.log_odds.sum() for one in scores])
    labels = np.array([record["labels"][-1] == "+" for record in records], float)
    loss = -(labels * np.log(sigmoid(rewards)) + (1 - labels) * np.log(sigmoid(-rewards)))
    assert loss.mean() == pytest.approx(results["eval_loss"], rel=1e-4)
    assert (rewards[labels > 0.5] > 0).mean() == pytest.approx(results["eval_accuracy_positive"])
    with pytest.raises(ValueError, match="no reward model. One of loss_type implicit_prm gives scores with"):
        Scorer.load(tmp_path / "run/out")


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.runs
def test_the_reference_may_be_asked_ahead(flags_of, labelled, tmp_path, other_model):
    labelled |= {"reference_model_name_or_path": other_model}
    file = tmp_path / "reference.safetensors"
    ask(flags_of("ask", **labelled, reference_logprobs=file))
    main(flags_of("now", **labelled, max_steps=3))
    main(flags_of("ahead", **labelled, max_steps=3, reference_logprobs=file))
    assert_same_runs(tmp_path / "now/out", tmp_path / "ahead/out", tolerance=1e-5)


@pytest.mark.runs
def test_refusals(flags_of, labelled, compared_answers, capsys):
    idle = {"normalize_logps": True, "sft_loss_ratio": 0.5, "metric_for_best_model": "margin"}
    shown = refusal(capsys, flags_of("a", **labelled | idle), main)
    assert all(name in shown for name in idle)
    pairs = {"train_dataset_path": compared_answers["train_dataset_path"]}
    assert "missing key (no response, label)" in refusal(capsys, flags_of("b", **labelled | pairs), main)


def test_its_data_are_checked_and_its_rows_shown(flags_of, labelled, capsys):
    check(["--config", *flags_of("a", **labelled)])
    shown = " ".join(capsys.readouterr().out.split())
    assert "120 judged answers" in shown and "answers per record" in shown
    inspect(flags_of("b", **labelled))
    assert "labelled answers at" in capsys.readouterr().out
