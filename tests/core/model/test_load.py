"""What a model's folder needs, and what one that is broken gets."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from safetensors.numpy import load_file, save_file

from llm.core import patches
from llm.core.model import config as config_module
from llm.core.model import folder as folder_module
from llm.core.model.attention import block_attention
from llm.core.model.sizes import KNOWN
from llm.core.text.load_tokenizer import load_tokenizer


def load(folder):
    return patches.load_model(str(folder), config_module.load_config(str(folder)), block_attention, "float32")


@pytest.fixture
def broken(tiny, tmp_path):
    """A copy of the tiny model's folder, to be broken."""
    return shutil.copytree(tiny / "model", tmp_path / "broken")


def weights_file(folder):
    (file,) = folder.glob("*.safetensors")
    return file


def refusal_of_folder(folder, setting="model_name_or_path") -> str:
    with pytest.raises(ValueError) as error:
        folder_module.find_model(str(folder), setting)
    return str(error.value)


def refusal_of_weights(folder) -> str:
    with pytest.raises(ValueError) as error:
        load(folder)
    return str(error.value)


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize("name", ["x" * 400, f"{'x' * 400}/y", f"a/{'x' * 5000}", f"{'x' * 400}/y/z"])
def test_a_name_too_long_for_a_file_is_one_that_a_hub_may_know_or_is_refused(name):
    try:
        assert folder_module.find_model(name) == name
    except ValueError as error:
        assert str(error).startswith("model_name_or_path: ")


def test_a_whole_folder_is_found_and_loads(tiny):
    folder = tiny / "model"
    assert (
        folder_module.find_model(str(folder))
        == folder_module.find_model(str(folder), "tokenizer_name_or_path")
        == str(folder)
    )
    assert load(folder).config.vocab_size == len(load_tokenizer(str(folder)))


def test_all_missing_files_of_a_folder_are_told_before_anything_is_loaded(broken):
    weights_file(broken).unlink()
    message = refusal_of_folder(broken)
    assert "weights" in message and "config.json" not in message
    (broken / "config.json").unlink()
    message = refusal_of_folder(broken)
    for text in ("model_name_or_path", str(broken), "config.json", "weights", "safetensors", "download"):
        assert text in message


def test_weights_that_are_not_read_are_no_weights(broken):
    """PyTorch's pickles, and the second copy that Mistral's folders hold under other names."""
    weights_file(broken).rename(broken / "consolidated.safetensors")
    assert "model.safetensors" in refusal_of_folder(broken) and ".bin" not in refusal_of_folder(broken)
    (broken / "pytorch_model-00001-of-00002.bin").touch()
    assert "convert them to safetensors" in refusal_of_folder(broken)


def test_missing_shards_are_told_by_name(broken):
    """The index says which files belong to the model; those that are there are not in the message."""
    shards = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    weights_file(broken).rename(broken / shards[1])
    index = {"weight_map": {f"weight {number}": shard for number, shard in enumerate(shards)}}
    (broken / "model.safetensors.index.json").write_text(json.dumps(index))
    message = refusal_of_folder(broken)
    assert str(broken) in message
    assert [shard in message for shard in shards] == [True, False, True]


@pytest.mark.parametrize(
    "index",
    [
        "",
        "[]",
        "{}",
        '{"weight_map": {}}',
        '{"weight_map": {"a": 5}}',
        '{"weight_map": {"a": [], "b": {}}}',
        '{"weight_map": {"a": ""}}',
        '{"weight_map": {"a": "../model.safetensors"}}',
        '{"weight_map": {"a": "%s.safetensors"}}' % ("x" * 5000),
        '{"weight_map": {"a": "b.safetensors"}, "weight_map": {}}',
    ],
)
def test_what_is_no_index_is_refused_by_its_name(broken, index):
    """Also where a command goes to the weights without having looked at the folder before."""
    file = broken / "model.safetensors.index.json"
    file.write_text(index)
    for message in (refusal_of_folder(broken), refusal_of_weights(broken)):
        assert message.startswith("model_name_or_path") and f"{file} is not an index of weights" in message
        assert len(message) < 600
    file.write_text('{"weight_map": {"a": "b.safetensors"}}')
    assert "its index lists b.safetensors, which is not there" in refusal_of_weights(broken)


def test_a_folder_without_a_tokenizer_is_refused(broken):
    for file in ("tokenizer.json", "tokenizer.model"):
        (broken / file).unlink()
    message = refusal_of_folder(broken, "tokenizer_name_or_path")
    assert "tokenizer_name_or_path" in message and str(broken) in message and "tokenizer.json" in message
    with pytest.raises(ValueError, match="no tokenizer could be read") as error:
        load_tokenizer(str(broken))
    assert str(broken) in str(error.value) and "tokenizer_config.json" in str(error.value)


def test_what_is_no_folder_and_no_name_is_refused(tmp_path):
    for path in (tmp_path / "nowhere", "./nowhere", "a/b/c"):
        message = refusal_of_folder(path)
        assert repr(str(path)) in message and "config.json" in message
    assert folder_module.find_model("owner/name") == "owner/name"


@pytest.mark.parametrize("model_type", ["gpt", "bert"])
def test_other_architectures_are_refused_by_name(broken, model_type):
    change_config(broken, model_type=model_type)
    with pytest.raises(ValueError) as error:
        config_module.load_config(str(broken))
    for text in (str(broken), repr(model_type), "llama, mistral, qwen2"):
        assert text in str(error.value)


def test_an_unreadable_config_is_refused(broken):
    (broken / "config.json").write_text('{"model_type": ')
    with pytest.raises(ValueError, match="no configuration could be read") as error:
        config_module.load_config(str(broken))
    assert str(broken) in str(error.value)


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.999])
def test_weights_that_are_cut_short_are_refused(broken, kept):
    file = weights_file(broken)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept if kept >= 1 else kept * len(whole))])
    message = refusal_of_weights(broken)
    assert str(broken) in message and "cut short" in message


@pytest.mark.parametrize("lacking", ["lm_head.weight", "llama.layers.1.mlp.up_proj.weight", "llama.layers.1."])
def test_weights_that_the_files_lack_are_no_random_start(broken, lacking):
    """PaddleNLP would draw them at random and only warn: a reward model without a word about it."""
    file = weights_file(broken)
    weights = load_file(file)
    left = {name: array for name, array in weights.items() if not name.startswith(lacking)}
    save_file(left, file, metadata={"format": "np"})
    message = refusal_of_weights(broken)
    for text in (str(broken), f"lack {len(weights) - len(left)} weights", "random", "complete causal LM"):
        assert text in message
    if not lacking.endswith("."):
        assert lacking in message


def test_weights_of_another_size_are_refused(broken):
    change_config(broken, hidden_size=64)
    message = refusal_of_weights(broken)
    assert str(broken) in message and "config.json" in message


def test_a_solution_may_be_as_long_as_positions_and_window_allow():
    """Mistral's sliding window is not cut by the mask here, so a longer solution must not come to the model."""
    mistral, llama = (KNOWN[name] for name in ("mistralai/Mistral-7B-v0.1", "meta-llama/Meta-Llama-3.1-8B"))
    assert replace(mistral, max_position_embeddings=512, sliding_window=128).longest_solution == 128
    assert replace(mistral, max_position_embeddings=512, sliding_window=None).longest_solution == 512
    assert replace(llama, max_position_embeddings=256).longest_solution == 256
