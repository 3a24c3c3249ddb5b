"""What is saved beside the tokens of a tokenizer: its template, special tokens and padding, as others read them."""

from __future__ import annotations

import json
import shutil

from llm.core.text.load_tokenizer import load_tokenizer
from tests.core.text.tokenizer_config import rewrite


def test_paddlenlp_reads_a_folder_whose_chat_template_has_a_file_of_transformers_form(qwen2, tmp_path):
    from paddlenlp.transformers import AutoTokenizer

    shutil.copytree(qwen2, tmp_path / "base")
    rewrite(tmp_path / "base", chat_template=...)
    (tmp_path / "base/chat_template.json").write_text(json.dumps({"chat_template": "{{ messages[0].content }}"}))
    load_tokenizer(str(tmp_path / "base")).save_pretrained(str(tmp_path / "out"))
    template = AutoTokenizer.from_pretrained(str(tmp_path / "out")).chat_template
    assert template.render(messages=[{"role": "user", "content": "2 + 3?"}]) == "2 + 3?"


def test_what_an_older_file_says_otherwise_is_not_what_others_read(llama2, tmp_path):
    """Here tokenizer_config.json counts; PaddleNLP reads special_tokens_map.json last."""
    from paddlenlp.transformers import AutoTokenizer

    shutil.copytree(llama2, tmp_path / "base")
    (tmp_path / "base/special_tokens_map.json").write_text(json.dumps({"eos_token": "<unk>"}))
    tokenizer = load_tokenizer(str(tmp_path / "base"))
    tokenizer.save_pretrained(str(tmp_path / "out"))
    assert AutoTokenizer.from_pretrained(str(tmp_path / "out")).eos_token == tokenizer.eos_token == "</s>"


def test_special_tokens_have_the_name_that_every_transformers_reads(llama3, tmp_path):
    """Version 5 writes a list as extra_special_tokens, at which version 4 fails."""
    shutil.copytree(llama3, tmp_path / "base")
    rewrite(tmp_path / "base", extra_special_tokens=["<|start_header_id|>"], additional_special_tokens=["<|eot_id|>"])
    load_tokenizer(str(tmp_path / "base")).save_pretrained(str(tmp_path / "out"))
    config = json.loads((tmp_path / "out/tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["additional_special_tokens"] == ["<|eot_id|>", "<|start_header_id|>"]
    assert "extra_special_tokens" not in config


def test_padding_is_as_the_models_own_class_has_it(llama2, qwen2, tmp_path):
    for folder, side, token in ((llama2, "left", None), (qwen2, None, "<|endoftext|>")):
        load_tokenizer(str(folder)).save_pretrained(str(tmp_path / folder.name))
        config = json.loads((tmp_path / folder.name / "tokenizer_config.json").read_text(encoding="utf-8"))
        assert (config.get("padding_side"), config["pad_token"]) == (side, token)
