"""A config.json of any content is read as a model's, or refused in a plain message before anything is built."""

import json

import pytest

from llm.core.model import supported
from llm.core.model.config import load_config, read_config
from tests.core.model_folders import FAMILIES, LLAMA, MISTRAL, QWEN2, QWEN3

VALUES = (None, True, 0, -1, 0.5, 1e300, "x", "3", [], [1], ["a"], {}, {"a": 1}, [[1]], {"rope_type": []})
VALUES += (2**31, 2**70, 10**7, [{}], {"1": [1]}, "\u200b")
OF_THE_LIBRARY = ("tensor_parallel_degree", "recompute", "use_flash_attention", "to_dict", "from_dict", "rope", "dtype")
OF_THE_LIBRARY += ("_unsavable_keys", "__class__", "use_return_dict", "name_or_path", "seq_length", "dpo_config")


def folder_with(folder, content: str | bytes):
    (folder / "config.json").write_bytes(content.encode() if isinstance(content, str) else content)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequence_parallel", True),
        ("id2label", ["a"]),
        ("num_labels", "3"),
        ("num_labels", 2**31),
        ("pruned_heads", [1]),
        ("architectures", [1]),
        ("layer_types", 5),
        ("layer_types", ["x"] * 10_000),
        ("num_hidden_layers", 2**31),
        ("max_position_embeddings", 1e7),
        ("max_position_embeddings", 10**7),
        ("head_dim", {}),
        ("n_embd", 64),
        ("to_dict", 5),
    ],
)
@pytest.mark.parametrize("family", [LLAMA, MISTRAL, QWEN2, QWEN3], ids=["llama", "mistral", "qwen2", "qwen3"])
def test_what_the_library_would_fail_at_is_named(tmp_path, family, name, value):
    with pytest.raises(ValueError, match=name) as error:
        load_config(folder_with(tmp_path, json.dumps(family | {name: value})))
    assert "model_name_or_path" in str(error.value) and len(str(error.value)) < 900


@pytest.mark.slow
@pytest.mark.parametrize("family", [LLAMA, MISTRAL, QWEN2, QWEN3], ids=["llama", "mistral", "qwen2", "qwen3"])
def test_any_value_of_any_setting_is_read_or_refused(tmp_path, family):
    for name in dict.fromkeys((*family, *supported.KINDS, *supported.SUPPORTED_VALUES, *OF_THE_LIBRARY)):
        for value in VALUES:
            try:
                load_config(folder_with(tmp_path, json.dumps(family | {name: value})))
            except ValueError as error:
                assert len(str(error)) < 1200, (name, value)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("[1]", "is a list"),
        ("7", "is a number"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": ' + "[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "5,000 digits"),
        ('{"a": "\\ud800"}', "half of a character"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ("", "not JSON"),
        ('{"a": "' + "x" * (1 << 20) + '"}', "more than 1,048,576"),
    ],
)
def test_what_is_no_object_of_settings_is_refused(tmp_path, content, shown):
    with pytest.raises(ValueError, match="model_name_or_path: no configuration could be read") as error:
        read_config(folder_with(tmp_path, content))
    assert shown in str(error.value)


def test_every_supported_model_still_is(tmp_path):
    for config in FAMILIES.values():
        load_config(folder_with(tmp_path, json.dumps(config)))
