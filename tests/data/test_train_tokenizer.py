"""A tokenizer of its own for any text: as many pieces as asked for, or as the text gives."""

import pytest

from llm.data.train_tokenizer import train_tokenizer

TEXTS = ["Tom has 3 pens. ки", "He buys 4 pens. ки"]


def test_too_little_text_is_an_error_unless_fewer_pieces_will_do(tmp_path):
    with pytest.raises(RuntimeError, match="too high"):
        train_tokenizer(TEXTS, tmp_path / "exact", 1000)
    tokenizer = train_tokenizer(TEXTS, tmp_path / "fewer", 1000, fewer=True)
    assert 256 < len(tokenizer) < 1000  # a piece for every byte, and then some


def test_it_is_read_back_from_its_folder_as_it_was(tmp_path):
    from llm.core.text.load_tokenizer import load_tokenizer

    tokenizer = train_tokenizer(TEXTS, tmp_path, 1000, fewer=True)
    text = "Tom buys 4\n pens, naïve"
    assert load_tokenizer(str(tmp_path))(text)["input_ids"] == tokenizer(text)["input_ids"]
