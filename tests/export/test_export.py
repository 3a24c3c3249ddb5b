"""What an export writes, read without torch: names, shapes and metadata are Hugging Face's, and the forward pass in
numpy over the new files gives the scores of this project."""

import json
import math

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from llm.alignment.rm.flashmask.run_reward import main as train
from llm.core.text.load_tokenizer import load_tokenizer
from llm.export import hugging_face
from llm.export.export import main
from tests.core import numpy_forward
from tests.export.models import MODELS, OUTCOME_TEXT, TEXT, make_model
from tests.export.reading import config_of, export, hidden_states, scores_of
from tests.runs import refusal

LAYER = """input_layernorm.weight post_attention_layernorm.weight mlp.down_proj.weight mlp.gate_proj.weight
mlp.up_proj.weight self_attn.k_proj.weight self_attn.o_proj.weight self_attn.q_proj.weight self_attn.v_proj.weight"""


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_causal_lm_has_the_scores_and_this_project_reads_it_back(name, tokenizer, tokens, tmp_path, capsys):
    model = make_model(name, tmp_path / "model", tokenizer)
    weights = export(model, tmp_path / "out", "causal-lm")
    expected = scores_of(model)
    hidden = hidden_states(tmp_path / "out", weights, TEXT)
    config = config_of(tmp_path / "out")
    logits = numpy_forward.reward_logits(config, weights, hidden, (tokens.positive, tokens.negative))
    np.testing.assert_allclose(logits[:, 0] - logits[:, 1], expected, atol=1e-4)
    np.testing.assert_allclose(scores_of(tmp_path / "out"), expected, atol=1e-5)
    assert max(map(abs, expected)) > 0.1, "the model says too little for this test"
    assert ("lm_head.weight" in weights) != config["tie_word_embeddings"]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_classifiers_have_the_scores(name, tokenizer, tmp_path, capsys):
    model = make_model(name, tmp_path / "model", tokenizer)
    forms = {"token-classification": "linear", "qwen-prm": "mlp"}
    if not name.startswith(("qwen2", "Qwen2")):
        del forms["qwen-prm"]
    for form, head in forms.items():
        weights = export(model, tmp_path / form, form)
        rewards = numpy_forward.reward(head, weights, hidden_states(tmp_path / form, weights, TEXT))
        np.testing.assert_allclose(rewards, scores_of(model), atol=1e-4, err_msg=form)
        assert "lm_head.weight" not in weights


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_sequence_classifiers_one_logit_is_the_reward(name, tokenizer, tmp_path, capsys):
    model = make_model(name, tmp_path / "model", tokenizer, process_reward=False)
    weights = export(model, tmp_path / "out", "sequence-classification")
    (hidden_E,) = hidden_states(tmp_path / "out", weights, OUTCOME_TEXT)
    np.testing.assert_allclose(weights["score.weight"].astype("float64") @ hidden_E, scores_of(model), atol=1e-4)


def test_a_tokenizer_that_transformers_5_would_read_otherwise_is_pointed_out(tokenizer, tmp_path, capsys):
    for name in ("qwen2", "qwen3", "llama 3"):
        export(make_model(name, tmp_path / name, tokenizer), tmp_path / f"{name} out", "causal-lm")
        assert ("PreTrainedTokenizerFast" in capsys.readouterr().out) == (name != "llama 3")


HEADS = {
    "causal-lm": ("Qwen2ForCausalLM", {"lm_head.weight": [640, 32]}),
    "token-classification": ("Qwen2ForTokenClassification", {"score.weight": [2, 32], "score.bias": [2]}),
    "sequence-classification": ("Qwen2ForSequenceClassification", {"score.weight": [1, 32]}),
    "qwen-prm": (
        "Qwen2ForProcessRewardModel",
        {"score.0.weight": [32, 32], "score.0.bias": [32], "score.2.weight": [2, 32], "score.2.bias": [2]},
    ),
}


@pytest.mark.parametrize("form", HEADS)
def test_names_shapes_and_metadata_are_those_of_hugging_face(form, tokenizer, tmp_path, capsys):
    architecture, head = HEADS[form]
    weights = export(make_model("qwen2", tmp_path / "model", tokenizer), tmp_path / "out", form)
    names = [*LAYER.split(), *(f"self_attn.{name}_proj.bias" for name in "qkv")]
    body = {f"model.layers.{number}.{name}" for number in (0, 1) for name in names}
    assert weights.keys() == body | {"model.embed_tokens.weight", "model.norm.weight"} | head.keys()
    shapes = {"model.embed_tokens.weight": [640, 32], "model.layers.1.mlp.down_proj.weight": [32, 48], **head}
    assert {name: list(weights[name].shape) for name in shapes} == shapes
    with safe_open(tmp_path / "out" / "model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}
    config = config_of(tmp_path / "out")
    assert config["architectures"] == [architecture] and config["model_type"] == "qwen2"
    assert not [name for name in config if name.startswith(("paddle", "tensor_parallel"))]
    assert {path.name for path in (tmp_path / "out").iterdir()} - {"reward_format.json", "tokenizer.model"} == {
        "config.json",
        "finished-model.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_the_classes_are_named_and_texts_can_be_padded(tokenizer, tmp_path, capsys):
    model = make_model("llama 3", tmp_path / "model", tokenizer)
    for form, names in (("token-classification", ["-", "+"]), ("sequence-classification", ["reward"])):
        export(model, tmp_path / form, form)
        config = config_of(tmp_path / form)
        assert list(config["id2label"].values()) == names
        assert config["pad_token_id"] == tokenizer.eos_token_id
        assert json.loads((tmp_path / form / "tokenizer_config.json").read_text())["pad_token"] == "</s>"


@pytest.mark.parametrize(
    "kind, flags, written",
    [
        ("float32", [], "float32"),
        ("bfloat16", [], "bfloat16"),
        ("float16", [], "float16"),
        ("bfloat16", ["--dtype", "float32"], "float32"),
        ("float32", ["--dtype", "bfloat16"], "bfloat16"),
    ],
)
def test_numbers_are_those_of_the_source_or_those_that_are_asked_for(kind, flags, written, tokenizer, tmp_path, capsys):
    model = make_model("qwen2", tmp_path / "model", tokenizer, kind=kind)
    weights = export(model, tmp_path / "out", "token-classification", *flags)
    assert {str(array.dtype) for array in weights.values()} == {written}
    assert config_of(tmp_path / "out")["torch_dtype"] == written
    old = load_file(model / "model.safetensors")["model.norm.weight"]
    kinds = {"bfloat16": ml_dtypes.bfloat16}
    np.testing.assert_array_equal(weights["model.norm.weight"], old.astype(kinds.get(written, written)))


def test_a_large_model_is_several_files_with_an_index(tokenizer, tmp_path, monkeypatch, capsys):
    model = make_model("mistral", tmp_path / "model", tokenizer)
    whole = export(model, tmp_path / "one", "causal-lm")
    monkeypatch.setattr(hugging_face, "FILE_BYTES", 90_000)
    split = export(model, tmp_path / "some", "causal-lm")
    index = json.loads((tmp_path / "some" / "model.safetensors.index.json").read_text())
    files = sorted(file.name for file in (tmp_path / "some").glob("*.safetensors"))
    assert files == [f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)]
    assert len(files) > 2 and set(index["weight_map"].values()) == set(files)
    for name, file in index["weight_map"].items():
        assert name in load_file(tmp_path / "some" / file)
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in whole.values())
    assert split.keys() == whole.keys() and all((split[name] == whole[name]).all() for name in whole)
    np.testing.assert_array_equal(scores_of(tmp_path / "some"), scores_of(tmp_path / "one"))


@pytest.mark.runs
@pytest.mark.parametrize("name, form", [("Llama", "causal-lm"), ("Qwen2, tied", "qwen-prm")])
def test_adapters_are_merged_on_the_way_and_a_checkpoint_is_a_model(
    name, form, tokenizer, tokens, settings_of, tmp_path, capsys
):
    """With a placeholder that was added, whose embedding trains in the adapters."""
    base = make_model(name, tmp_path / "base", tokenizer)
    changes = {"lora": True, "add_placeholder_token": True, "placeholder_token": "<|step|>", "learning_rate": 0.02}
    short = {"max_steps": 2, "save_steps": 2, "eval_steps": 2, "do_eval": False, "load_best_model_at_end": False}
    adapters = tmp_path / "adapters"
    train(settings_of(model_name_or_path=base, output_dir=adapters, warmup_steps=0, **changes, **short))
    for number, model in enumerate((adapters, adapters / "checkpoint-2")):
        out = tmp_path / str(number)
        weights = export(model, out, form)
        ids = load_tokenizer(str(out))(TEXT.replace("ки", "<|step|>"), split_special_tokens=False)["input_ids"]
        hidden = numpy_forward.hidden_states(config_of(out), weights, ids, np.arange(len(ids)), [len(ids)] * len(ids))
        hidden = hidden[[place for place, token in enumerate(ids) if token == 640]]
        if form == "causal-lm":
            both = numpy_forward.reward_logits(config_of(out), weights, hidden, (tokens.negative, tokens.positive))
            rewards = both[:, 1] - both[:, 0]
        else:
            rewards = numpy_forward.reward("mlp", weights, hidden)
        np.testing.assert_allclose(rewards, scores_of(model), atol=1e-4)
        assert weights["model.embed_tokens.weight"].shape[0] == 641
    assert not math.isclose(scores_of(adapters)[0], scores_of(base)[0], abs_tol=1e-3)


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(tokenizer, tmp_path, capsys):
    model, out = make_model("Llama", tmp_path / "model", tokenizer), tmp_path / "out"
    message = refusal(capsys, [str(model), str(out), "--to", "qwen-prm"], main)
    for text in ("--to qwen-prm", "llama", "qwen2 alone", "token-classification"):
        assert text in message
    assert "MODEL:" in refusal(capsys, [str(tmp_path / "nowhere"), str(out), "--to", "causal-lm"], main)
    assert "OUT:" in refusal(capsys, [str(model), str(model), "--to", "causal-lm"], main)
    (tmp_path / "empty").mkdir()
    assert "reward_format.json" in refusal(capsys, [str(tmp_path / "empty"), str(out), "--to", "causal-lm"], main)
    (tmp_path / "nan").mkdir()
    broken = make_model("llama 3", tmp_path / "nan", tokenizer)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][3] = np.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    assert "model.norm.weight holds a NaN" in refusal(capsys, [str(broken), str(out), "--to", "causal-lm"], main)
    assert not out.exists() or not any(out.iterdir())
