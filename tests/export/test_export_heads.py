"""Models with a head of their own, in the forms that can hold it, read without torch."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm.export.export import main
from tests.core import numpy_forward
from tests.export.models import OUTCOME_TEXT, TEXT, make_model
from tests.export.reading import config_of, export, hidden_states, scores_of
from tests.runs import refusal

FORMS = [  # what is exported, to which form, how that is read
    ("linear", "token-classification", "linear"),
    ("linear", "qwen-prm", "mlp"),
    ("mlp", "qwen-prm", "mlp"),
    ("value", "token-classification", "linear"),
    ("value", "qwen-prm", "mlp"),
]


@pytest.mark.parametrize(("head", "form", "read_as"), FORMS)
def test_a_head_has_the_scores_in_every_form_that_holds_it(head, form, read_as, tokenizer, tmp_path, capsys):
    model = make_model("qwen2", tmp_path / "model", tokenizer, head=head)
    weights = export(model, tmp_path / "out", form)
    rewards = numpy_forward.reward(read_as, weights, hidden_states(tmp_path / "out", weights, TEXT))
    np.testing.assert_allclose(rewards, scores_of(model), atol=1e-4)
    assert max(map(abs, rewards)) > 0.05, "the model says too little for this test"
    assert "lm_head.weight" not in weights and "reward_head" not in config_of(tmp_path / "out")


@pytest.mark.parametrize(("head", "bias"), [("value", "v_head.summary.bias"), ("linear", "score.bias")])
def test_one_logit_is_the_reward_where_that_has_no_bias(head, bias, tokenizer, tmp_path, capsys):
    model = make_model("llama 3", tmp_path / "model", tokenizer, process_reward=False, head=head)
    command = [str(model), str(tmp_path / "out"), "--to", "sequence-classification"]
    message = refusal(capsys, command, main)
    assert "--to sequence-classification: the rewards of this model have a bias of" in message
    assert not (tmp_path / "out").exists()
    weights = load_file(model / "model.safetensors")
    weights[bias][:] = 0.25 if head == "linear" else 0  # the same for both classes
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    weights = export(model, tmp_path / "out", "sequence-classification")
    (hidden_E,) = hidden_states(tmp_path / "out", weights, OUTCOME_TEXT)
    assert weights.keys() >= {"score.weight"} and "score.bias" not in weights
    np.testing.assert_allclose(weights["score.weight"].astype("float64") @ hidden_E, scores_of(model), atol=1e-4)


@pytest.mark.parametrize(
    ("family", "head", "form", "reason"),
    [
        ("qwen2", "linear", "causal-lm", "Give another form: token-classification, sequence-classification, qwen-prm."),
        ("llama 3", "value", "causal-lm", "Give another form: token-classification, sequence-classification."),
        ("qwen2", "mlp", "token-classification", "a head of the kind mlp, which this form cannot hold. Give another"),
        ("llama 3", "mlp", "token-classification", "No form can hold it."),
        ("qwen2", "quantile", "qwen-prm", "a head of the kind quantile, which this form cannot hold. No form can"),
    ],
)
def test_a_form_that_cannot_hold_a_head_is_refused(family, head, form, reason, tokenizer, tmp_path, capsys):
    model = make_model(family, tmp_path / "model", tokenizer, head=head)
    message = refusal(capsys, [str(model), str(tmp_path / "out"), "--to", form], main)
    assert reason in message and f"--to {form}" in message and not (tmp_path / "out").exists()
