"""Heads of a model's own: what they compute, where they come from, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest

from llm.core import patches
from llm.core.model import config as config_module
from llm.core.model import forward
from llm.core.model.attention import block_attention
from llm.core.model.head import heads
from llm.core.model.head.head_kinds import KINDS, TRAINED
from tests.core import model_folders, numpy_forward

OWN = TRAINED[1:]
FAMILIES = ("llama 3", "mistral", "qwen2, tied")


def write(folder, family: str, kind: str | None, biased: bool = True) -> tuple[dict, dict]:
    """A model in Hugging Face's form, with an LM head that is not read and, if a kind is given, such a head."""
    config = model_folders.FAMILIES[family]
    weights = model_folders.random_weights(config)
    if kind:
        weights |= model_folders.weights_of_head(kind, config["hidden_size"], biased)
        config = config | {"architectures": ["SomethingForTokenClassification"], "num_labels": KINDS[kind].outputs}
    model_folders.write(folder, config, weights)
    return config, weights


def load(folder, head: str | None, **new):
    name = str(folder)
    return patches.load_model(name, config_module.load_config(name, head), block_attention, "float32", **new)


def logits_of(model, config: dict):
    ids, positions, ends = model_folders.packed_rows(config["vocab_size"])
    with paddle.no_grad():
        hidden = forward.hidden_states(model, *(paddle.to_tensor(array) for array in (ids, positions, ends)))
        return heads.reward_logits(model, hidden.reshape([-1, hidden.shape[-1]]), model_folders.TOKENS).numpy()


def expected_rewards(config: dict, weights: dict, kind: str):
    rows = zip(*model_folders.packed_rows(config["vocab_size"]), strict=True)
    hidden = np.concatenate([numpy_forward.hidden_states(config, weights, *row) for row in rows])
    return numpy_forward.reward(kind, weights, hidden)


@pytest.mark.parametrize("kind", [*OWN, "scalar"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("biased", [True, False])
def test_a_published_head_is_kept_and_gives_its_reward(kind, family, biased, tmp_path):
    """r = logit(+) - logit(-), as numpy has it from the files; again from what is saved, in PaddleNLP's form."""
    config, weights = write(tmp_path / "published", family, kind, biased)
    asked = "value" if kind == "scalar" else kind
    model = load(tmp_path / "published", asked)
    logits = logits_of(model, config)
    found = logits if kind == "quantile" else logits[:, 0] - logits[:, 1]
    np.testing.assert_allclose(found, expected_rewards(config, weights, kind), atol=2e-5)
    assert not [name for name in model.state_dict() if "lm_head" in name]
    model.save_pretrained(str(tmp_path / "saved"), safe_serialization=True)
    assert json.loads((tmp_path / "saved/config.json").read_text())["reward_head"] == asked
    np.testing.assert_array_equal(logits_of(load(tmp_path / "saved", None), config), logits)


def test_a_new_head_is_drawn_from_the_seed_alone(tmp_path):
    write(tmp_path / "m", "llama 3", None)
    for kind in OWN:
        drawn = [load(tmp_path / "m", kind, new_head=seed).state_dict() for seed in (1, 1, 2)]
        for name, shape in KINDS[kind].shapes(32).items():
            first, again, other = (state[name].numpy() for state in drawn)
            assert list(first.shape) == shape and (first == again).all()
            if name.endswith("bias"):
                assert not first.any()
            else:
                assert (first != other).all() and 0.3 < first.std() / 0.02 < 3  # initializer_range


@pytest.mark.parametrize(
    ("held", "asked", "reasons"),
    [
        (None, "mlp", ["hold no mlp head (score.0.weight", "no head but the LM head", "init_reward_head true"]),
        ("linear", "mlp", ["hold no mlp head", "but score.bias, score.weight"]),
        ("scalar", "linear", ["hold no linear head", "but score.bias, score.weight"]),
        (
            "linear",
            None,
            ["architectures ['SomethingForTokenClassification']", "mlp or value or quantile."],
        ),
        ("linear", "lm", ["architectures ['SomethingForTokenClassification']"]),
    ],
)
def test_a_head_that_is_not_there_is_refused(held, asked, reasons, tmp_path):
    write(tmp_path / "m", "qwen2, tied", held)
    with pytest.raises(ValueError) as error:
        load(tmp_path / "m", asked)
    for reason in reasons:
        assert reason in str(error.value)


def test_a_saved_model_is_not_read_by_a_head_that_it_lacks(tmp_path):
    config, _ = write(tmp_path / "m", "qwen2, tied", "mlp")
    load(tmp_path / "m", "mlp").save_pretrained(str(tmp_path / "saved"), safe_serialization=True)
    with pytest.raises(ValueError, match=r"reward_head: .*no LM head.*write reward_head mlp"):
        load(tmp_path / "saved", "lm")
    members = json.loads((tmp_path / "saved/config.json").read_text())
    for wrong in ("lms", 3, ["mlp"]):
        (tmp_path / "saved/config.json").write_text(json.dumps(members | {"reward_head": wrong}))
        with pytest.raises(ValueError, match="reward_head .* only linear, .*, classes, quantile are supported"):
            load(tmp_path / "saved", None)
