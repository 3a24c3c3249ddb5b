"""A text that is tokenised word by word has the ids that SentencePiece gives it as a whole."""

from __future__ import annotations

import io

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from llm.core.text import sentencepiece_tokenizer
from llm.core.text.pieces_as_json import joins_no_words
from llm.core.text.sentencepiece_tokenizer import SentencePieceTokenizer
from tests.core.text.solutions import TEXT, quick

BLANKS = st.sampled_from(["", " ", "  ", "   ", "\n ", " \n", "▁"])


def tokenizer_of(**options) -> SentencePieceTokenizer:
    model = io.BytesIO()
    sentences = ["the cat sat on the mat", "in the end of the day  it is", "3 + 4 = 7 so the total is 7"] * 20
    common = {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "minloglevel": 2}
    common |= {"vocab_size": 330, "remove_extra_whitespaces": False, "hard_vocab_limit": False}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_writer=model, **common | options)
    return SentencePieceTokenizer(model.getvalue(), "LlamaTokenizer", {}, {})


@pytest.fixture(scope="module")
def by_words() -> SentencePieceTokenizer:
    return tokenizer_of()


@quick
@given(st.lists(st.tuples(BLANKS, TEXT)), BLANKS)
def test_any_text_has_the_ids_of_the_whole(by_words, parts, end):
    assert joins_no_words(by_words.sp_model)
    text = "".join(blanks + word for blanks, word in parts) + end
    for _ in range(2):  # words that are new, and words that are known
        assert by_words(text, add_special_tokens=False)["input_ids"] == by_words.sp_model.encode(text)


@pytest.mark.parametrize("options", [{"split_by_whitespace": False}, {"model_type": "unigram", "vocab_size": 300}])
def test_a_model_that_may_join_words_divides_the_whole(options):
    tokenizer = tokenizer_of(**options)
    assert not joins_no_words(tokenizer.sp_model)
    for text in ("the cat sat on the mat", "of the day it is the end", " x  y "):
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == tokenizer.sp_model.encode(text)


def test_no_more_words_are_remembered_than_is_said(by_words, monkeypatch):
    monkeypatch.setattr(sentencepiece_tokenizer, "MOST_WORDS", 3)
    for text in ("a b c d e f", "g", "h i"):
        by_words(text)
    assert set(by_words._known_words) == {" g", " h", " i"}
