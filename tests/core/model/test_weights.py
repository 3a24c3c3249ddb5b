"""Files that hold other weights than config.json describes are refused: nothing random is left in a model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm.core import patches
from llm.core.model import config
from llm.core.model.attention import block_attention
from tests.core.model_folders import FAMILIES, LLAMA, QWEN2, errors_against_numpy, load, random_weights, refusal, write


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({"hidden_size": 64, "head_dim": 16}, ["model.embed_tokens.weight is [40, 32] in the file", "wants [40, 64]"]),
        ({"vocab_size": 48}, ["lm_head.weight is [40, 32] in the file, config.json wants [48, 32]"]),
        ({"intermediate_size": 32}, ["model.layers.0.mlp.down_proj.weight is [32, 48]", "wants [32, 32]"]),
        ({"num_key_value_heads": 4}, ["model.layers.0.self_attn.k_proj.weight is [16, 32]", "wants [32, 32]"]),
        ({"num_hidden_layers": 3}, ["lack 9 weights", "model.layers.2."]),
        ({"num_hidden_layers": 1}, ["hold 9 weights", "model.layers.1."]),
    ],
)
@pytest.mark.parametrize("of_paddle", [False, True])
def test_weights_of_another_size_are_refused_by_name_and_shape(changes, texts, of_paddle, tmp_path):
    folder = write(tmp_path / "model", LLAMA, random_weights(LLAMA))
    if of_paddle:
        load(folder).save_pretrained(str(tmp_path / "saved"), safe_serialization=True)
        folder = tmp_path / "saved"
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(written | changes))
    message = refusal(folder)
    for text in texts if not of_paddle else [texts[0].split()[0].replace("model.", "llama.")]:
        assert text in message


def test_weights_of_another_family_are_refused(tmp_path):
    """Qwen2's biases have no place in a Llama; without them a Qwen2 would have random ones."""
    renamed = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    message = refusal(write(tmp_path / "a", QWEN2 | renamed, random_weights(QWEN2)))
    assert "no place" in message and "model.layers.0.self_attn.k_proj.bias" in message
    message = refusal(write(tmp_path / "b", QWEN2, random_weights(LLAMA)))
    assert "lack 6 weights" in message and "model.layers.0.self_attn.k_proj.bias" in message
    load(write(tmp_path / "c", QWEN2, random_weights(QWEN2))).save_pretrained(str(tmp_path / "d"))
    written = json.loads((tmp_path / "d" / "config.json").read_text())
    (tmp_path / "d" / "config.json").write_text(json.dumps(written | renamed))
    message = refusal(tmp_path / "d")
    assert "begin with llama." in message and "qwen2.embed_tokens.weight" in message


@pytest.mark.parametrize("kind", ["float64", "int8"])
def test_numbers_of_another_kind_are_refused(kind, tmp_path):
    weights = random_weights(LLAMA)
    weights["model.norm.weight"] = weights["model.norm.weight"].astype(kind)
    message = refusal(write(tmp_path / "model", LLAMA, weights))
    assert "model.norm.weight is" in message and "float32, float16 nor bfloat16" in message


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_that_are_no_numbers_are_refused(bad, dtype, tmp_path):
    weights = random_weights(LLAMA)
    weights["model.layers.1.mlp.up_proj.weight"][3, 4] = bad
    folder = str(write(tmp_path / "model", LLAMA, weights))
    with pytest.raises(ValueError, match=r"model.layers.1.mlp.up_proj.weight in .* holds a NaN or an infinity"):
        patches.load_model(folder, config.load_config(folder), block_attention, dtype)


def test_a_head_is_there_once(tmp_path):
    """Missing where it is not tied, and another one where it is, are refused; a copy of the embedding is not."""
    headless = {name: array for name, array in random_weights(LLAMA).items() if name != "lm_head.weight"}
    message = refusal(write(tmp_path / "untied", LLAMA, headless))
    assert "lack 1 weights" in message and "lm_head.weight" in message
    tied = FAMILIES["llama 3.2"]
    weights = random_weights(tied)
    copy = weights["model.embed_tokens.weight"].copy()
    folder = write(tmp_path / "tied", tied, weights | {"lm_head.weight": copy})
    assert max(errors_against_numpy(load(folder), tied, weights)) < 1e-4
    copy[3, 4] += 1
    message = refusal(write(tmp_path / "tied", tied, weights | {"lm_head.weight": copy}))
    assert "tie_word_embeddings" in message and "lm_head.weight differs" in message


def test_weights_beside_the_causal_lm_are_refused(tmp_path):
    """A classifier's head, or a second model of another form."""
    weights = random_weights(LLAMA)
    message = refusal(write(tmp_path / "a", LLAMA, weights | {"score.weight": np.ones([1, 32], "float32")}))
    assert "hold 1 weights" in message and "score.weight" in message
    message = refusal(write(tmp_path / "b", LLAMA, weights | {"llama.norm.weight": np.ones([32], "float32")}))
    assert "llama.norm.weight" in message and "begin with llama." in message


def test_a_weight_in_two_files_is_refused(tmp_path):
    """Which of them the model got would depend on their order."""
    weights = random_weights(LLAMA)
    folder = write(tmp_path / "model", LLAMA, weights, shards=2)
    first, second = sorted(folder.glob("model-*"))
    save_file(load_file(first) | {"model.norm.weight": weights["model.norm.weight"]}, first, metadata={"format": "pt"})
    save_file(load_file(second) | {"model.norm.weight": weights["model.norm.weight"]}, second)
    assert "model.norm.weight is in two" in refusal(folder)


def test_a_weight_twice_in_one_file_is_refused(tmp_path):
    """The library that reads safetensors takes the last of the two."""
    file = write(tmp_path / "model", LLAMA, random_weights(LLAMA)) / "model.safetensors"
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].strip()
    twice = json.dumps({"model.norm.weight": json.loads(header)["model.norm.weight"]}).encode()
    header = header[:-1] + b"," + twice[1:]
    file.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    assert "'model.norm.weight' is given twice" in refusal(tmp_path / "model")
