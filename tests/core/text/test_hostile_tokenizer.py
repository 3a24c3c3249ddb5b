"""A tokenizer's files of any content are read, or refused by the name of the file and of what is wrong in it."""

import json
import shutil

import pytest

from llm.core.text.chat_template import find_template
from llm.core.text.load_tokenizer import load_tokenizer

CONFIG, SPECIAL, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
TEMPLATE = {"type": "TemplateProcessing", "pair": [{"Sequence": {"id": "A", "type_id": 0}}]}
STARTS = [{"SpecialToken": {"id": "<nope>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
WITH_IDS = {"<nope>": {"id": "<nope>", "ids": [99_999_999], "tokens": ["<nope>"]}}
GROWS = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
ADDED_TOKEN = {flag: False for flag in ("single_word", "lstrip", "rstrip", "normalized")} | {"special": True}
VALUES = (5, True, [1], {}, {"content": 5}, "", ["a"], [[]], "\u200b", "x" * 100_000, {"a": [1]}, {"1": {}}, None)
NAMES = "tokenizer_class init_class bos_token eos_token unk_token pad_token additional_special_tokens add_bos_token "
NAMES += "extra_special_tokens add_eos_token add_prefix_space legacy sentencepiece like_pieces added_tokens_decoder"


def copy_of(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(folder, copy)


def refusal(folder) -> str:
    with pytest.raises(ValueError, match="tokenizer_name_or_path: no tokenizer could be read") as error:
        load_tokenizer(str(folder))
    assert str(error.value).isprintable() and len(str(error.value)) < 800
    return str(error.value)


@pytest.mark.parametrize(
    ("file", "content", "shown"),
    [
        (SPECIAL, b"{", "special_tokens_map.json is not JSON"),
        (SPECIAL, b"[1]", "special_tokens_map.json is a list"),
        (SPECIAL, b'{"a": 1, "a": 2}', "special_tokens_map.json: 'a' is given twice"),
        (SPECIAL, b'{"a": "\xff"}', "special_tokens_map.json is not UTF-8: byte 8 is 0xff"),
        (SPECIAL, b'{"eos_token": 7}', "special_tokens_map.json: eos_token 7: a text"),
        (SPECIAL, b'{"additional_special_tokens": "abc"}', "additional_special_tokens 'abc': a list is needed"),
        (ADDED, b"[" * 100_000, "added_tokens.json is nested too deeply"),
        (ADDED, b'{"<x>": "y"}', "added_tokens.json: '<x>' has the id 'y': a whole number from 0 to"),
        (ADDED, b'{"<x>": 4000000000}', "added_tokens.json: '<x>' has the id 4000000000: a whole number"),
        (ADDED, b'{"<x>": 460.7}', "added_tokens.json: '<x>' has the id 460.7: a whole number"),
        (CONFIG, b'{"added_tokens_decoder": {"-1": "<x>"}}', "tokenizer_config.json: '<x>' has the id '-1'"),
        (CONFIG, b'{"added_tokens_decoder": {"1": {}}}', "tokenizer_config.json: added_tokens_decoder 1 {}: a text"),
        (CONFIG, b'{"added_tokens_decoder": 5}', "tokenizer_config.json: added_tokens_decoder 5: an object is needed"),
        (CONFIG, b'{"add_bos_token": "no"}', "tokenizer_config.json: add_bos_token 'no': true or false is needed"),
        ("chat_template.json", b"[]", "chat_template.json is a list"),
    ],
)
@pytest.mark.parametrize("source", ["llama2", "llama3"])
def test_what_cannot_be_obeyed_is_named(request, source, file, content, shown, tmp_path):
    folder = copy_of(request.getfixturevalue(source), tmp_path)
    (folder / file).write_bytes(content)
    assert shown in refusal(folder)


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        (
            ["post_processor"],
            TEMPLATE | {"single": STARTS, "special_tokens": {}},
            "post_processor adds <nope>, but has",
        ),
        (
            ["post_processor"],
            TEMPLATE | {"single": STARTS, "special_tokens": WITH_IDS},
            "the ids 99999999, which no token",
        ),
        (["model", "vocab", "zzz"], 4_000_000_000, "'zzz' has the id 4000000000: a whole number from 0 to"),
        (["model", "vocab", "zzz"], -1, "expected u32"),
        (
            ["added_tokens", 0],
            ADDED_TOKEN | {"id": 7, "content": "<new>"},
            "'<new>' is added with the id 7, but it has",
        ),
        (["normalizer"], {"type": "Sequence", "normalizers": [GROWS] * 12}, "a text up to 1,000,000,000,000 times"),
        (["normalizer"], {"type": "Prepend", "prepend": "x" * 1_000_000}, "a text up to 1,000,001 times"),
        (["model"], {"type": "BPE", "vocab": {}, "merges": []}, "tokenizer.json"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_tokenizer_json_that_contradicts_itself_is_refused(llama3, path, value, shown, tmp_path):
    folder = copy_of(llama3, tmp_path)
    file = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    inner = file
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    (folder / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    assert shown in refusal(folder)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["llama2", "llama3", "qwen2_merges"])
def test_any_value_of_any_setting_is_read_or_refused(request, source, tmp_path):
    folder = copy_of(request.getfixturevalue(source), tmp_path)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    for name in NAMES.split():
        for value in VALUES:
            (folder / CONFIG).write_text(json.dumps(config | {name: value}), encoding="utf-8")
            try:
                load_tokenizer(str(folder)).save_pretrained(str(tmp_path / "saved"))
            except ValueError as error:
                assert len(str(error)) < 800, (name, value)


@pytest.mark.parametrize(
    ("file", "content", "shown"),
    [
        ("chat_template.jinja", b"a\xff", "chat_template.jinja is not UTF-8: byte 2 is 0xff"),
        (CONFIG, b'{"chat_template": [1]}', "each template of a list needs a name"),
        (CONFIG, b'{"chat_template": [{"name": []}]}', "each template of a list needs a name"),
        (CONFIG, b'{"chat_template": [{"name": "a"}]}', "of the templates a none is called default"),
        (CONFIG, b'{"chat_template": {"default": "x"}}', "chat_template is an object, not a text"),
        ("chat_template.json", b'{"chat_template": 5}', "chat_template is a number, not a text"),
    ],
)
def test_a_template_that_is_no_text_is_refused(qwen2, file, content, shown, tmp_path):
    folder = copy_of(qwen2, tmp_path)
    (folder / CONFIG).write_bytes(b"{}")
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match="use_chat_template") as error:
        find_template(load_tokenizer(str(folder)))
    assert shown in str(error.value)


def split_by(pattern: str) -> dict:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["pre_tokenizer", "normalizer"])
@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("(a+)+$", "fails at a text (PanicException: Onig: Regex search error: retry-limit-in-match over)"),
        ("(.|.){20}(?!)", "s for a text of"),
    ],
)
def test_a_pattern_that_tries_every_way_is_refused(llama3, tmp_path, part, pattern, shown):
    """The engine gives up one match after many tries, in a panic, but tries again at every place."""
    folder = copy_of(llama3, tmp_path)
    file = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    file[part] = split_by(pattern)
    if part == "normalizer":
        file[part] = {"type": "Replace", "pattern": {"Regex": pattern}, "content": "x"}
    (folder / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    message = refusal(folder)
    assert shown in message and "regular expression" in message


def test_a_text_at_which_a_pattern_fails_later_is_an_error_of_its_own_kind(llama3, tmp_path):
    """It is not seen while the tokenizer is read."""
    folder = copy_of(llama3, tmp_path)
    file = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    file["pre_tokenizer"] = split_by("(q+)+$|.")
    (folder / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    tokenizer = load_tokenizer(str(folder))
    with pytest.raises(ValueError, match="tokenizer.json fails at a text"):
        tokenizer("q" * 40 + "!")
