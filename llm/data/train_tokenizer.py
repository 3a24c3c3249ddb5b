"""A tokenizer from text, of the kind that Mistral and Llama have: byte pairs by SentencePiece with byte fallback, a
blank put before the text, and a line break as a byte. The same texts give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from llm.core.text.sentencepiece_tokenizer import PIECES_FILES, SentencePieceTokenizer


def train_tokenizer(texts: Iterable[str], folder: Path, vocabulary: int, fewer: bool = False) -> SentencePieceTokenizer:
    """Train a tokenizer of so many pieces on texts, save it in a folder and return it. With `fewer` it has as many as
    the texts give and no more than that; without it, too little text is an error."""
    model = io.BytesIO()  # a file's name would become part of its bytes
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts for line in text.split("\n")),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocabulary,
        hard_vocab_limit=not fewer,
        byte_fallback=True,
        add_dummy_prefix=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    pieces = model.getvalue()
    tokenizer = SentencePieceTokenizer(pieces, "LlamaTokenizer", {}, {PIECES_FILES[0]: pieces})
    tokenizer.save_pretrained(str(folder))
    return tokenizer
